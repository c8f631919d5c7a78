"""Encoders as small ONNX files: the vector of an input is its mean, and zero."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stillhouse.models.data.sound.waves import LENGTH
from stillhouse.models.runtime.bundle import Bundle, open_bundle, write_bundle

ENCODERS = {
    "text": ("codes_NL", TensorProto.INT64, ["n", "l"]),
    "image": ("images_NCHW", TensorProto.UINT8, ["n", 3, 64, 64]),
    "speech": ("waves_NT", TensorProto.INT16, ["n", LENGTH]),
}


def encoder(path: Path, name: str, kind: int, shape: list[Any], factor: float = 1.0) -> None:
    """Write an encoder whose vectors are a mean and one."""
    axes = numpy_helper.from_array(np.arange(1, len(shape)), "axes")
    one = numpy_helper.from_array(np.array([[factor, 0]], np.float32), "one")
    nodes = [
        helper.make_node("Cast", [name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["mean_N1"]),
        helper.make_node("Mul", ["mean_N1", "one"], ["out"]),
    ]
    last = numpy_helper.from_array(np.array([1]), "last")
    ends = [
        helper.make_tensor_value_info(name, kind, shape),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2]),
    ]
    graph = helper.make_graph(nodes, "tower", ends[:1], ends[1:], [axes, last, one])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def bundle_of(folder: Path) -> Bundle:
    """Describe a folder of encoders."""
    write_bundle(folder, "retrieval", {name: [folder / f"{name}.onnx"] for name in ENCODERS}, space="space")
    return open_bundle(folder)


def write_encoders(folder: Path) -> Bundle:
    """Write an encoder of each kind."""
    for name, (port, kind, shape) in ENCODERS.items():
        encoder(folder / f"{name}.onnx", port, kind, shape)
    return bundle_of(folder)
