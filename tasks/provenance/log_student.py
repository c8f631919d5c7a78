"""Log a student to MLflow: the evaluated bundle, and code that opens it (`tasks/provenance/served_bundle.py`).

So MLflow's own server gives the same answers as `stillhouse serve`. Nothing is pickled.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

import stillhouse
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.registry import provider_of
from stillhouse.tasks.serving.protocols.open_inference import BYTES
from stillhouse.tasks.serving.protocols.ports import ports_of
from stillhouse.tasks.tracking.child import Child

RUNTIME = ("onnxruntime", "numpy")
COMPILED = shutil.ignore_patterns("__pycache__")
BUNDLE_FOLDER = "bundle"
"""Folder of the bundle among a model's artifacts in MLflow."""


def packages_of(workload: str) -> tuple[str, ...]:
    """Return the packages that inference needs."""
    provider = provider_of(workload)
    return (*RUNTIME, *runtime_of(workload).packages, *([provider.distribution] if provider else []))


def log_student(child: Child, student: Bundle) -> str:
    """Log a student; returns the model's address.

    Args:
        child: the stage's child run.
        student: the evaluated bundle.
    """
    child.progress("logging the student to MLflow")
    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_id=child.run_id):
        folder, code = Path(scratch) / BUNDLE_FOLDER, Path(scratch) / stillhouse.__name__
        shutil.copytree(student.files[0].parent, folder)
        shutil.copytree(Path(stillhouse.__path__[0]) / "models", code / "models", ignore=COMPILED)
        shutil.copy(str(stillhouse.__file__), code)
        logged = mlflow.pyfunc.log_model(
            name="student",
            python_model=str(Path(__file__).with_name("served_bundle.py")),
            artifacts={BUNDLE_FOLDER: str(folder)},
            code_paths=[str(code)],
            signature=signature_of(student),
            pip_requirements=pin_packages(("pandas", *packages_of(student.workload))),
        )
    return str(logged.model_uri)


def signature_of(student: Bundle) -> ModelSignature:
    """Describe a table with a column for each kind of input. A request fills one of them."""
    answers = runtime_of(student.workload).serve(student, ())
    ports = ports_of(student, answers)["inputs"]
    return ModelSignature(Schema([ColSpec(_type(port), port["name"], required=False) for port in ports]))


def _type(port: Mapping[str, Any]) -> DataType | Array:
    """Return a column's type: text, the bytes of a file, or nested lists of numbers."""
    if port["datatype"] == BYTES:
        return DataType.string if port["name"] == "text" else DataType.binary
    found: DataType | Array = DataType.double if port["datatype"].startswith("FP") else DataType.long
    for _ in port["shape"][1:]:
        found = Array(found)
    return found


def pin_packages(packages: Sequence[str]) -> list[str]:
    """Pin a logged model's packages to the installed versions.

    Without this list, MLflow loads the model to guess them.
    """
    return [f"{package}=={importlib.metadata.version(package)}" for package in dict.fromkeys(packages)]
