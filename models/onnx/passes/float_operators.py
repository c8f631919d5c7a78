"""Keep chosen operators float between integer operators, also under the runtime's default options.

The runtime fuses DequantizeLinear, operator, QuantizeLinear back into one integer operator if it has one. It does not
recognise the pattern if a Cast, a Sub and a Mul compute the same numbers.
"""

from collections.abc import Collection

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

PASSES_THROUGH = ("Reshape", "Transpose")
"""Operators that the runtime moves a DequantizeLinear across."""


def keep_operators_float(model: ModelProto, kinds: Collection[str]) -> None:
    """Replace the DequantizeLinear before each operator of these kinds by simpler operators, in place."""
    makers = {output: node for node in model.graph.node for output in node.output}
    sources = {id(node): node for node in map(makers.get, _inputs_of(model, kinds, makers)) if node is not None}
    for node in sources.values():
        if node.op_type == "DequantizeLinear":
            _spell_out(model, node)


def _inputs_of(model: ModelProto, kinds: Collection[str], makers: dict[str, NodeProto]) -> list[str]:
    names = [node.input[0] for node in model.graph.node if node.op_type in kinds]
    return [_before_shapes(name, makers) for name in names]


def _before_shapes(name: str, makers: dict[str, NodeProto]) -> str:
    while name in makers and makers[name].op_type in PASSES_THROUGH:
        name = makers[name].input[0]
    return name


def _spell_out(model: ModelProto, node: NodeProto) -> None:
    """Replace one DequantizeLinear by its formula `(float(integers) - zero_point) * scale`."""
    integers, scale, zero = node.input
    value = next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == zero)
    result = node.output[0]
    model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), f"{result}_zero"))
    place = [*model.graph.node].index(node)
    model.graph.node.remove(node)
    steps = [
        helper.make_node("Cast", [integers], [f"{result}_cast"], f"{result}_cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{result}_cast", f"{result}_zero"], [f"{result}_centred"], f"{result}_centre"),
        helper.make_node("Mul", [f"{result}_centred", scale], [result], f"{result}_scale_up"),
    ]
    for step in reversed(steps):
        model.graph.node.insert(place, step)
