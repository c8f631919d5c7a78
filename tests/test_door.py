"""The door: a workload and a network of an installed package go through a whole night, and no file of ours changes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packages import python_with

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
TOY = TESTS / "toy"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with what this one has, and with the toy, installed by pip."""
    return python_with(TOY, tmp_path_factory.mktemp("door"))


@pytest.fixture(scope="module")
def night(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A whole night of the toy's recipe."""
    root = tmp_path_factory.mktemp("toy_night")
    done = subprocess.run(
        [str(python), str(TESTS / "toy_night.py"), str(root)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
def test_a_packages_workload_is_trained_compressed_judged_and_registered(night: dict[str, Any]) -> None:
    """A model of a modality that the core has never seen becomes a version."""
    assert night["told"]["gate"]["passed"] == 1.0, night["told"]["gate"]
    assert night["told"]["register"]["version"] == "1"
    assert night["told"]["gate"]["correlation"] > 0.8


@pytest.mark.long
def test_the_report_has_the_packages_section(night: dict[str, Any]) -> None:
    """The section has the title, the numbers and the slices that the package says."""
    page = Path(night["told"]["report"]["report"]).read_text(encoding="utf-8")
    for text in ("How far off the progression is", "Mean error, teacher", "groups of patients paid"):
        assert text in page


@pytest.mark.long
def test_the_packages_model_is_served(night: dict[str, Any]) -> None:
    """The server takes the package's kind of input, and refuses others in a sentence."""
    (ok, answers), (wrong, sentence), (other, other_sentence) = night["served"]
    assert ok == 200
    assert [set(answer) for answer in answers["answers"]] == [{"progression"}] * 2
    assert (wrong, sentence["error"]) == (400, "each patient has 10 numbers; send lists of so many")
    assert other == 400
    assert "takes measurements, not pixels" in other_sentence["error"]


@pytest.mark.long
def test_the_packages_version_is_rebuilt_to_the_same_bytes(night: dict[str, Any]) -> None:
    """Its record names the package, and building it again gives the same file."""
    assert night["rebuilt"], night["lines"]


def test_a_users_own_packages_may_have_common_names(python: Path) -> None:
    """The toy's packages `models` and `tasks` are its own, wherever a command is typed."""
    code = "import models, tasks, stillhouse.tasks.pipeline.stages; print(models.__file__, tasks.__file__)"
    done = subprocess.run([str(python), "-P", "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert all(str(python.parents[1]) in file for file in done.stdout.split())


def test_the_core_knows_nothing_of_the_package() -> None:
    """No file of ours has a word of the package, so none was changed for it."""
    for folder in ("dags", "tasks", "models"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            assert not re.search("stillhouse_toy|diabetes|progression", path.read_text(encoding="utf-8"), re.IGNORECASE)


METHOD = """from stillhouse.models.compression.pruning.weights import magnitude
from stillhouse.tasks.compression.step_context import StepContext, Compressed


def clip(context: StepContext, step: object) -> Compressed:
    module, architecture = context.previous
    for name, score in magnitude(module).items():
        weight = module.get_parameter(name if name.endswith("weight") else f"{name}.weight")
        limit = float(score.flatten().quantile(step.share))
        weight.data.clamp_(-limit, limit)
    context.job.progress(f"clipped to {step.share}")
    return module, architecture
"""
SECTION = """class Clip(Section):
    component: Name | None = None
    method: Literal["clip"]
    share: Share


Step = Annotated[
    Clip | """
RECIPE = """name: clipped
description: The digits, with a method that somebody has just added.
schedule: null
seed: 7
data: {dataset: digits}
workload: image_classification
teacher:
  network: {name: multimodal_small_model, arguments: {channels: 8}}
  training: {epochs: 4, batch_size: 64, learning_rate: 0.01, optimizer: adamw}
steps:
  - {method: clip, share: 0.99}
keep_step_if: {max_quality_drop: 1, min_saving: 0}
gate: {quality: 0.5, bytes: 0.5, latency: 0.1}
"""
RUN = """import sys
from pathlib import Path

import pytest
from data_samples import make_house
from stillhouse.tasks.pipeline.run_stage import run_stage

recipe, root = map(Path, sys.argv[1:])
with pytest.MonkeyPatch.context() as patch:
    make_house(root, patch)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    for stage in ("pull", "validate", "teacher", "step_1_clip"):
        told = run_stage(recipe, stage, "tests/clip")
print(told)
"""


def test_a_method_is_one_file_one_line_and_one_section(tmp_path: Path) -> None:
    """A toy method in a copy of the tree: a file of its own, its line in METHODS, its section of the recipe."""
    tree = tmp_path / "tree"
    for folder in ("dags", "tasks", "models"):
        shutil.copytree(REPOSITORY / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "src", tree / "src", symlinks=True)
    (tree / "tasks" / "compression" / "clip.py").write_text(METHOD, encoding="utf-8")
    replaced(
        tree / "tasks" / "compression" / "methods.py", '    "fold": fold,\n', '    "fold": fold,\n    "clip": clip,\n'
    )
    replaced(tree / "tasks" / "compression" / "methods.py", "from stillhouse.tasks.compression.distil", IMPORT)
    replaced(tree / "tasks" / "recipe" / "steps.py", "Step = Annotated[\n    ", SECTION)
    (tmp_path / "clipped.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "root").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "clipped.yaml"), str(tmp_path / "root")],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tree / 'src'}{os.pathsep}{TESTS}", "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "clipped to 0.99" in done.stdout
    assert "'validation_quality'" in done.stdout.splitlines()[-1]


IMPORT = "from stillhouse.tasks.compression.clip import clip\nfrom stillhouse.tasks.compression.distil"


def replaced(path: Path, old: str, new: str) -> None:
    """Change one place of a file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
