"""Products of sequences with integer weights: the input is rounded to 8 bits at every call, the product is integer.

A sequence has many rows. For 14 rows through 384 x 1536 weights, in microseconds: this form 63, `MatMulNBits` of
8 bits 117, fp32 120. The runtime fuses the operators to one. Weights of few bits are stored in 4 bits and widened at
load.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from stillhouse.models.compression.quantization.rounding import Stored
from stillhouse.models.onnx.passes.integer_graph import Place, raise_opset, readers

OPSET_OF_INT4 = 21
SEQUENCE_AXES = 3
FEW = 7
"""Largest magnitude of an integer that 4 bits hold."""


def reads_sequence(model: ModelProto, place: Place) -> bool:
    """Tell whether only products of sequences (N, T, C) read a weight."""
    shaped = (*model.graph.value_info, *model.graph.input)
    axes = {value.name: len(value.type.tensor_type.shape.dim) for value in shaped}
    nodes = readers(model, place.initializer)
    return all(node.op_type == "MatMul" and axes.get(node.input[0], 0) == SEQUENCE_AXES for node in nodes)


def multiply_integers(model: ModelProto, place: Place, stored: Stored) -> ModelProto:
    """Return the graph with integer weights for the products that read a float weight."""
    name, integers_OI = place.initializer, stored.integers.numpy()
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == name))
    model = _store(model, name, integers_OI.T)
    model.graph.initializer.append(numpy_helper.from_array(stored.scale_O.numpy(), f"{name}_scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(len(integers_OI), np.int8), f"{name}_zero"))
    for node in readers(model, name):
        _spell_out(model, node, name)
    return model


def _store(model: ModelProto, name: str, integers_IO: np.ndarray) -> ModelProto:
    if np.abs(integers_IO).max() > FEW:
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(integers_IO), f"{name}_integers"))
        return model
    model = raise_opset(model, OPSET_OF_INT4)
    few = integers_IO.astype(helper.tensor_dtype_to_np_dtype(TensorProto.INT4))
    model.graph.initializer.append(numpy_helper.from_array(few, f"{name}_few"))
    widen = helper.make_node("Cast", [f"{name}_few"], [f"{name}_integers"], to=TensorProto.INT8)
    model.graph.node.insert(0, widen)
    return model


def _spell_out(model: ModelProto, node: NodeProto, name: str) -> None:
    """Replace `X @ W` by `float(round(X) @ integers) * (scale of X * scale of W)`."""
    source, result = node.input[0], node.output[0]
    rounded, scale, zero = _round_once(model, source)
    place = [*model.graph.node].index(node)
    model.graph.node.remove(node)
    steps = [
        helper.make_node("MatMulInteger", [rounded, f"{name}_integers", zero, f"{name}_zero"], [f"{result}_sum"]),
        helper.make_node("Cast", [f"{result}_sum"], [f"{result}_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [scale, f"{name}_scale"], [f"{result}_scale"]),
        helper.make_node("Mul", [f"{result}_float", f"{result}_scale"], [result]),
    ]
    for step in reversed(steps):
        model.graph.node.insert(place, step)


def _round_once(model: ModelProto, source: str) -> list[str]:
    """Round a tensor right after it is made. Products of one tensor share the rounding."""
    outputs = [f"{source}_{each}" for each in ("rounded", "scale", "zero")]
    makers = [place for place, node in enumerate(model.graph.node) if {source, outputs[0]} & {*node.output}]
    if len(makers) < 2:  # noqa: PLR2004 - the maker alone: nothing has rounded the tensor yet
        place = makers[0] + 1 if makers else 0
        model.graph.node.insert(place, helper.make_node("DynamicQuantizeLinear", [source], outputs))
    return outputs
