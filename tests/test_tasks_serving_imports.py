"""The model server runs without torch, Airflow and the readers of data, as docker/serving.Dockerfile has it."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from stillhouse.models.workloads.registry import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("airflow", "pandas", "pyarrow", "torch")
LOCK = (ROOT / "docker" / "requirements-serving.lock").read_text(encoding="utf-8")
WHOLE = (ROOT / "requirements.lock").read_text(encoding="utf-8")
FACES = ", ".join(f"{built_in.package}.runtime" for built_in in BUILT_IN.values())
OURS = ("cli.serve_alone", "serving.follow", "tracking.connection")
SERVING = ", ".join(f"stillhouse.tasks.{name}" for name in OURS)


def run(code: str) -> str:
    """Run Python code in a clean process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def pins(lock: str) -> set[str]:
    """Read `name==version` of every package of a lock."""
    return set(re.findall(r"^(\S+==\S+) \\$", lock, re.MULTILINE))


def names(lock: str) -> set[str]:
    """Read the name of every package of a lock."""
    return {pin.partition("==")[0] for pin in pins(lock)}


@pytest.mark.parametrize("module", ["stillhouse.tasks.serving.app", "stillhouse.tasks.serving.server"])
def test_the_application_imports_nothing_heavy(module: str) -> None:
    """After the application is imported, none of the big packages is in memory, nor MLflow."""
    assert run(f"import sys, {module}; print([name for name in {(*HEAVY, 'mlflow')} if name in sys.modules])") == "[]"


def test_no_runtime_face_imports_what_reads_data() -> None:
    """The runtime faces of all workloads open bundles without pyarrow and without torch."""
    assert run(f"import sys, {FACES}; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def test_the_server_runs_with_the_packages_of_its_lock_only() -> None:
    """The whole serving path is imported although no module of another package can be."""
    owners = importlib.metadata.packages_distributions()
    here = names(LOCK) | {"stillhouse"}
    absent = [module for module, of in owners.items() if not {canonicalize_name(owner) for owner in of} & here]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {SERVING}, {FACES}; print('imported')"
    assert {"airflow", "boto3", "jiwer", "torch", "zstandard"} <= set(absent)
    assert run(code) == "imported"


def test_the_serving_lock_is_a_part_of_the_whole_one() -> None:
    """Every pin is that of requirements.lock, every pin has a hash, and nothing heavy is among them."""
    assert pins(LOCK) <= pins(WHOLE)
    assert not {"apache-airflow", "boto3", "dvc", "pandas", "pyarrow", "torch"} & names(LOCK)
    blocks = re.split(r"^(?=\S+==)", LOCK, flags=re.MULTILINE)[1:]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
