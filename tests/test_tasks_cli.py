"""The command line: what the documents show exists, and every refusal is one sentence and exit code 1."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file
from typer.core import TyperGroup

from stillhouse.tasks.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
LINES = re.findall(r"^(?:\$ )?(?:\.venv(?:-light)?/bin/)?stillhouse ((?:.*\\\n)*.*)$", DOCUMENTS, re.MULTILINE)
"""The arguments of each whole command that a document shows."""
SHOWN = re.findall(r"(?:^|^\$ |`)(?:\.venv/bin/)?stillhouse ([a-z]+)", DOCUMENTS, re.MULTILINE)


def stillhouse(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stillhouse.tasks.cli", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def test_the_documents_show_commands_that_exist() -> None:
    """Every `stillhouse` command of README and docs/ is one, and every make target they name is in the Makefile."""
    commands = [command for command in app.registered_commands if command.callback and not command.hidden]
    names = {command.name or command.callback.__name__ for command in commands} | {"data"}
    assert len(set(SHOWN)) >= 4
    assert set(SHOWN) <= names
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z]+)", DOCUMENTS, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_a_command_of_the_documents_is_parsed(line: str) -> None:
    """Each command, option and value is one that the command line takes."""
    command, words = typer.main.get_command(app), shlex.split(line.replace("\\\n", " ").rstrip("& "), comments=True)
    context = typer.Context(command)
    while isinstance(command, TyperGroup) and words:
        _, command, words = command.resolve_command(context, words)
        assert command is not None
    command.make_context("stillhouse", words)


def test_stages_lists_the_stages() -> None:
    """`stillhouse stages` prints each stage with what it reads, in order."""
    done = stillhouse("stages", "image_classification_hour")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()][:3] == ["pull", "validate", "teacher"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("stages", "nope"), "recipe .*nope.yaml cannot be read"),
        (("run", "nope"), "recipe .*nope.yaml cannot be read .*; name a file of dags/recipes/"),
        (("run", "seed_digits", "--force"), "--revision and --force go with --local; Airflow takes them as `conf`"),
        (("nightly", "seed_digits", "--once"), "`stillhouse nightly` is called `stillhouse run` now"),
        (("show", "seed_digits"), "`stillhouse show` is called `stillhouse stages` now"),
        (("try", "seed_digits", "a"), "`stillhouse try` is called `stillhouse predict` now"),
        (("replay", "seed_digits", "1"), "`stillhouse replay` is called `stillhouse reproduce` now"),
        (("refresh", "digits"), "`stillhouse refresh` is called `stillhouse data ingest` now"),
        (("inspect", "owner/model"), "owner/model is no file and no folder; a hub id is not downloaded"),
        (("inspect", "README.md"), r"README.md ends with .md, and a model file ends with one of .onnx"),
    ],
)
def test_a_refusal_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """A wrong name ends with exit code 1 and a sentence, without a traceback."""
    done = stillhouse(*arguments)
    assert done.returncode == 1
    assert re.search(sentence, done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


def test_inspect_shows_a_model(tmp_path: Path) -> None:
    """`stillhouse inspect` prints task, parameters, components, operators, methods, and the speed of int8 here."""
    save_file({"encoder.layer.0.weight": np.zeros((32, 16), np.float32)}, tmp_path / "model.safetensors")
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = stillhouse("inspect", str(tmp_path), "--speed")
    assert done.returncode == 0, done.stderr
    assert "text-classification, BertForSequenceClassification, transformers" in done.stdout
    assert "512 parameters in 1 tensors, 2.05 kB" in done.stdout
    assert re.search(r"^quantize +yes +100% of the bytes are weight matrices", done.stdout, re.MULTILINE)
    assert re.search(r"^linear +32 x 16 +1 +\S+ ms +\S+ ms +(faster|slower|no difference)", done.stdout, re.MULTILINE)


def test_inspect_imports_no_engine() -> None:
    """Looking at a model needs no Airflow, DVC, Great Expectations, MLflow or torch."""
    code = (
        "import sys; from typer.testing import CliRunner; from stillhouse.tasks.cli.main import app; "
        "CliRunner().invoke(app, ['inspect', 'README.md']); "
        "print(sorted({'airflow', 'dvc', 'great_expectations', 'mlflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
