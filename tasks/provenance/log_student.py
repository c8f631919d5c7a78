"""Log a student to MLflow: the evaluated files, and the files that MLflow loads to serve them.

A student with one file is logged as an ONNX model. The model is unpacked, so that MLflow loads it without pickle, and
the evaluated bundle is stored beside it. MLflow has no flavour for several ONNX files. So a model of several components
is logged as code (`tasks/provenance/served_bundle.py`) that opens the bundle. Nothing is pickled.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from onnx import ValueInfoProto, helper

import stillhouse
from stillhouse.models.onnx.packing import unpack
from stillhouse.models.runtime.bundle import BUNDLE, Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.registry import provider_of
from stillhouse.tasks.tracking.child import Child

RUNTIME = ("onnxruntime", "numpy")
COMPILED = shutil.ignore_patterns("__pycache__")
COMPONENTS_FOLDER = "bundle"
"""Folder of a multi-component bundle among a model's artifacts in MLflow."""


def packages_of(workload: str) -> tuple[str, ...]:
    """Return the packages that inference needs."""
    provider = provider_of(workload)
    return (*RUNTIME, *runtime_of(workload).packages, *([provider.distribution] if provider else []))


def log_student(child: Child, student: Bundle, data: Path) -> str:
    """Log a student; returns the model's address.

    Args:
        child: the stage's child run.
        student: the evaluated bundle.
        data: the materialised dataset; one request from it becomes the input example.
    """
    child.progress("logging the student to MLflow")
    return _log_components(child, student) if len(student.files) > 1 else _log_file(child, student, data)


def _log_file(child: Child, student: Bundle, data: Path) -> str:
    (name, (file,)), runtime = next(iter(student.components.items())), runtime_of(student.workload)
    model = onnx.load_from_string(unpack(file))
    example = runtime.one_request(data, runtime.load_split(data, "gate")).raw[name]
    with mlflow.start_run(run_id=child.run_id):
        logged = mlflow.onnx.log_model(
            model,
            name="student",
            signature=ModelSignature(_schema(model.graph.input), _schema(model.graph.output)),
            input_example={model.graph.input[0].name: example},
            save_as_external_data=False,
            extra_files=[str(file), str(file.with_name(BUNDLE))],
            pip_requirements=pin_packages(("onnx", *RUNTIME)),
        )
    return str(logged.model_uri)


def _schema(ports: Sequence[ValueInfoProto]) -> Schema:
    """Describe the inputs or outputs of a graph. A dynamic size is -1."""
    return Schema([TensorSpec(_type(port), _shape(port), port.name) for port in ports])


def _type(port: ValueInfoProto) -> np.dtype[np.generic]:
    found: np.dtype[np.generic] = helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
    return found


def _shape(port: ValueInfoProto) -> tuple[int, ...]:
    sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in port.type.tensor_type.shape.dim]
    return (-1, *sizes[1:])


def _log_components(child: Child, student: Bundle) -> str:
    kinds = runtime_of(student.workload).serve(student, ())
    signature = ModelSignature(
        Schema([ColSpec("string" if kind == "text" else "binary", kind, required=False) for kind in kinds])
    )
    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_id=child.run_id):
        folder = Path(scratch) / COMPONENTS_FOLDER
        shutil.copytree(student.files[0].parent, folder)
        code = Path(scratch) / stillhouse.__name__
        shutil.copytree(Path(stillhouse.__path__[0]) / "models", code / "models", ignore=COMPILED)
        shutil.copy(str(stillhouse.__file__), code)
        logged = mlflow.pyfunc.log_model(
            name="student",
            python_model=str(Path(__file__).with_name("served_bundle.py")),
            artifacts={COMPONENTS_FOLDER: str(folder)},
            code_paths=[str(code)],
            signature=signature,
            pip_requirements=pin_packages(("pandas", *packages_of(student.workload))),
        )
    return str(logged.model_uri)


def pin_packages(packages: Sequence[str]) -> list[str]:
    """Pin a logged model's packages to the installed versions.

    Without this list, MLflow loads the model to guess them.
    """
    return [f"{package}=={importlib.metadata.version(package)}" for package in dict.fromkeys(packages)]
