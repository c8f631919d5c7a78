"""The light installation: what works without Airflow, DVC and Great Expectations, and what says that it does not."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_folders import write_encoder
from packages import python_of
from safetensors.numpy import save_file
from text_samples import sentences
from tiny_house import tiny_recipe, use_local_data

ROOT = Path(__file__).resolve().parent.parent
MOST_MEGABYTES = 1145
"""Of the installed environment, in units of 2**20 bytes: 1.2 GB."""
MOST_SECONDS = 60
HEAVY = ("airflow", "boto3", "dvc", "great_expectations", "pandas", "scipy", "sklearn")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an interpreter that has what requirements-light.lock names."""
    return python_of(ROOT / "requirements-light.lock", tmp_path_factory.mktemp("light"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a model of one layer, as transformers writes it."""
    (tmp_path / "model").mkdir()
    save_file({"encoder.layer.0.weight": np.zeros((32, 16), np.float32)}, tmp_path / "model" / "model.safetensors")
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path / "model"


def run_in(python: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python` with this code, in a deployment of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STILLHOUSE_", "MLFLOW_"))}
    environ = kept | {"PYTHONPATH": str(ROOT / "src"), "STILLHOUSE_ROOT": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.run([python, *arguments], check=False, capture_output=True, text=True, cwd=root, env=environ)


def stillhouse(python: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_in(python, root, "-m", "stillhouse.tasks.cli", *arguments)


def expect_whole_run(root: Path, done: subprocess.CompletedProcess[str]) -> None:
    """Expect a verdict, a report, and the two sentences of what a light run leaves out."""
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"report: {root}/runs/latest/report.html" in done.stdout
    summary: Any = json.loads((root / "runs" / "latest" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["verdict"], summary["error"], summary["unread"]) == ("PASS", None, [])
    assert summary["left_out"] == [
        "the data contract was not checked, because Great Expectations is not installed",
        "nothing was registered, load-tested or compared with production, because the run used no server",
    ]


def test_the_light_interpreter_lacks_what_nights_need(python: Path, tmp_path: Path) -> None:
    """None of the heavy packages can be imported there, so the other tests of this file say something."""
    code = "import sys; from importlib.util import find_spec; print([name for name in sys.argv[1:] if find_spec(name)])"
    assert run_in(python, tmp_path, "-c", code, *HEAVY).stdout.strip() == "[]"


def test_inspect_is_light(python: Path, model: Path, tmp_path: Path) -> None:
    """`stillhouse inspect` tells the task, the parameters and the methods."""
    done = stillhouse(python, tmp_path, "inspect", str(model))
    assert done.returncode == 0, done.stderr
    assert "text-classification, BertForSequenceClassification, transformers" in done.stdout


def test_a_recipe_runs_in_the_light_installation(python: Path, tmp_path: Path) -> None:
    """`stillhouse run --local` goes from imported data to verdict and report."""
    recipe = tiny_recipe(tmp_path)
    use_local_data(recipe, tmp_path / ".stillhouse", "distil")
    expect_whole_run(tmp_path, stillhouse(python, tmp_path, "run", str(recipe), "--local"))


@pytest.mark.long
def test_a_model_is_compressed_in_the_light_installation(python: Path, tmp_path: Path) -> None:
    """`stillhouse compress` imports the texts, climbs, and writes the bundle."""
    (tmp_path / "texts.txt").write_text("\n".join(sentences(400)), encoding="utf-8")
    write_encoder(tmp_path / "encoder", sentences(400))
    goals = ("--keep", "20%", "--smaller", "1.5x", "--faster", "0.1x", "--minutes", "5")
    done = stillhouse(python, tmp_path, "compress", "encoder", "--data", "texts.txt", *goals)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[-2].startswith("PASS: int8, calibrated: keeps ")
    assert done.stdout.splitlines()[-1] == "report: compressed/encoder/report.html"
    assert (tmp_path / "compressed" / "encoder" / "bundle" / "bundle.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "module"),
    [(("up",), "airflow"), (("run", "seed_digits"), "airflow"), (("data",), "dvc"), (("check", "seed_digits"), "dvc")],
)
def test_a_command_that_needs_more_says_so(
    python: Path, tmp_path: Path, arguments: tuple[str, ...], module: str
) -> None:
    """It ends with exit code 1 and the command that installs everything."""
    for name in ("dags", ".dvc"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tmp", "cache", "__pycache__"))
    shutil.copy(ROOT / "data.dvc", tmp_path)
    done = stillhouse(python, tmp_path, *arguments)
    assert done.returncode == 1
    sentence = f"needs {module}, which the light installation does not have; install all with `make install`"
    assert done.stderr.strip().splitlines()[-1] == f"stillhouse: this command {sentence}"
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.serial
def test_make_light_makes_a_working_environment(model: Path, tmp_path: Path) -> None:
    """From its lock, within a minute of warm caches; `inspect` and `run --local` work in it, copied into it or not."""
    tracked = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    for name in filter(None, tracked.split("\0")):
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "code" / name, follow_symlinks=False)
    seconds = [make_light(tmp_path / "code") for _ in range(2)]
    assert seconds[1] < MOST_SECONDS
    environment = tmp_path / "code" / ".venv-light"
    size = subprocess.run(["du", "-sm", environment], check=True, capture_output=True, text=True).stdout
    assert int(size.split()[0]) <= MOST_MEGABYTES
    python, root = environment / "bin" / "python", tmp_path / "deployment"
    root.mkdir()
    recipe = tiny_recipe(root)
    use_local_data(recipe, root / ".stillhouse", "distil")
    command = [str(environment / "bin" / "stillhouse"), "run", "tiny.yaml", "--local"]
    expect_whole_run(root, run_in(Path(command[0]), root, *command[1:]))
    pip = [python, "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation", "--force-reinstall", "."]
    subprocess.run(pip, check=True, cwd=tmp_path / "code")
    found = run_in(Path(command[0]), root, "inspect", str(model))
    assert "512 parameters in 1 tensors" in found.stdout, found.stderr


def make_light(code: Path) -> float:
    """Make the environment anew. Returns the seconds."""
    shutil.rmtree(code / ".venv-light", ignore_errors=True)
    began = time.monotonic()
    base = Path(sys.base_prefix, "bin", "python3.11")
    done = subprocess.run(["make", "light", f"PYTHON={base}"], check=False, capture_output=True, text=True, cwd=code)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began
