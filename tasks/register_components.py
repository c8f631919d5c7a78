"""How a folder of towers is logged to MLflow: its files as they were judged, and the code that serves them.

MLflow has no flavour for several ONNX files, so the model is code (`tasks/served_towers.py`) that opens them: nothing
is pickled, and `mlflow.pyfunc.load_model` answers with unit vectors of sentences, pictures or recordings.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

import models
from models.bundle import Bundle
from models.towers import open_towers
from models.ways import TEXT
from tasks.tracking import Child

REQUIREMENTS = ("onnxruntime", "numpy", "pandas", "pillow", "pyarrow", "safetensors", "scipy", "soundfile")


def pinned(packages: Sequence[str]) -> list[str]:
    """Pin what a logged model needs to what is installed; left to guess, MLflow loads the model to see."""
    return [f"{package}=={importlib.metadata.version(package)}" for package in packages]


def log_components(child: Child, student: Bundle, _data: Path) -> str:
    """Log the student; returns the model's address."""
    package = Path(models.__path__[0])
    towers = open_towers(student)
    dimension = towers.of_texts(["red heart"]).shape[1]
    signature = ModelSignature(
        Schema([ColSpec("string" if name == TEXT else "binary", name, required=False) for name in towers.sessions]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, dimension))]),
    )
    child.progress("logging the student's towers")
    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_id=child.run_id):
        folder = Path(scratch) / "towers"
        shutil.copytree(student.files[0].parent, folder)
        logged = mlflow.pyfunc.log_model(
            name="student",
            python_model=str(Path(__file__).with_name("served_towers.py")),
            artifacts={"towers": str(folder)},
            code_paths=[str(package)],
            signature=signature,
            pip_requirements=pinned(REQUIREMENTS),
        )
    return str(logged.model_uri)
