"""Multiply-accumulates of an ONNX file for one image, float or integer, counted from the sizes that really flow."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, numpy_helper

WEIGHT_AT = {"Conv": 1, "QLinearConv": 3, "ConvInteger": 1}
MATRICES = {"Gemm": 1, "MatMul": 1, "QGemm": 3, "QLinearMatMul": 3, "MatMulInteger": 1}


def macs(content: bytes, image_shape: tuple[int, ...]) -> int:
    """Count the multiply-accumulates of convolutions and matrix products.

    Args:
        content: an ONNX file's bytes.
        image_shape: (channels, height, width) of one raw image.
    """
    model = onnx.load_from_string(content)
    shapes = _shapes(model, image_shape)
    return sum(_of(node, shapes) for node in model.graph.node if node.op_type in WEIGHT_AT | MATRICES)


def _of(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    output, weight = shapes[node.output[0]], shapes[node.input[(WEIGHT_AT | MATRICES)[node.op_type]]]
    if node.op_type in WEIGHT_AT:
        return int(np.prod(output) * np.prod(weight[1:]))
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return int(np.prod(output) * weight[-1 if transposed else -2])


def _shapes(model: ModelProto, image_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Run one image through and look at every value in between."""
    constants = {tensor.name: tuple(numpy_helper.to_array(tensor).shape) for tensor in model.graph.initializer}
    names = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.zeros((1, *image_shape), np.uint8)}
    values: list[Any] = session.run(names, feed)
    return constants | {name: tuple(value.shape) for name, value in zip(names, values, strict=True)}


def macs_of_file(path: Path, image_shape: tuple[int, ...]) -> int:
    """Count for a file, packed or plain."""
    from stillhouse.models.onnx.packing import is_packed, unpack

    return macs(unpack(path) if is_packed(path) else path.read_bytes(), image_shape)
