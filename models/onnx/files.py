"""Write ONNX files. A model of more than 2 GB has its weights in a second file, because protobuf has no more in one."""

from pathlib import Path

import onnx
from onnx import ModelProto

from stillhouse.models.runtime.weights import weights_of

MOST = 2_000_000_000
"""Most bytes of weights in one file. Protobuf's own limit is 2,147,483,647 bytes for the whole file."""


def is_large(model: ModelProto) -> bool:
    """Tell whether a model is too large for one file."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > MOST


def save_onnx(model: ModelProto, path: Path) -> None:
    """Write a model. A large one loses its weights in memory: load it again to go on with it."""
    weights_of(path).unlink(missing_ok=True)
    if is_large(model):
        onnx.save(model, path, save_as_external_data=True, location=weights_of(path).name)
    else:
        onnx.save(model, path)


def check_onnx(model: ModelProto, path: Path) -> None:
    """Check that a model which was written to a path is valid ONNX."""
    if weights_of(path).is_file():
        onnx.checker.check_model(str(path))
    else:
        onnx.checker.check_model(model)
