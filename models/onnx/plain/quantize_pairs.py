"""Spell out ONNX Runtime's integer operators: DequantizeLinear, the float operator, QuantizeLinear.

The integers and the scales stay as they are. Other runtimes know these pairs and fuse them. OpenVINO 2026.4 refuses a
QLinearConv with a scale for each channel, and knows no QGemm.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from stillhouse.models.errors import ModelError

Initializers = Mapping[str, NDArray[Any]]
TRIPLES = {"QLinearAdd": ("Add", 2), "QLinearMul": ("Mul", 2), "QLinearMatMul": ("MatMul", 2)}
"""Operators whose inputs are (integers, scale, zero point) of each operand, then scale and zero point of the result."""
SINGLES = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSigmoid": "Sigmoid",
}
"""The same with one operand."""
OF_THE_RUNTIME = ("channels_last",)
"""Attributes that the float operator does not have. Only 0 is known here."""
BIAS_OF_CONVOLUTION, BIAS_OF_GEMM, RESULT_OF_GEMM = 8, 6, 7


def spell_out_integers(model: ModelProto) -> None:
    """Replace every integer operator by its pair form, in place.

    Raises:
        ModelError: an operator has a form without such pairs.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        spell = _speller(node)
        model.graph.node.extend(spell(model, node, weights) if spell else [node])


def _speller(node: NodeProto) -> Callable[[ModelProto, NodeProto, Initializers], Iterator[NodeProto]] | None:
    known = {
        "QLinearConv": _convolution,
        "QGemm": _gemm,
        **dict.fromkeys(TRIPLES, _pair),
        **dict.fromkeys(SINGLES, _one),
    }
    return known.get(node.op_type)


def _convolution(model: ModelProto, node: NodeProto, weights: Initializers) -> Iterator[NodeProto]:
    floats = [f"{node.output[0]}_input", f"{node.output[0]}_weight"]
    yield _dequantize(node.input[0:3], floats[0])
    yield _dequantize(node.input[3:6], floats[1], axis=0 if weights[node.input[4]].size > 1 else None)
    if len(node.input) > BIAS_OF_CONVOLUTION:
        scale_O = weights[node.input[1]] * weights[node.input[4]]
        floats.append(_bias(model, node.output[0], weights[node.input[BIAS_OF_CONVOLUTION]], scale_O))
    yield from _float(node, "Conv", floats, node.input[6:8])


def _gemm(model: ModelProto, node: NodeProto, weights: Initializers) -> Iterator[NodeProto]:
    attributes = _attributes(node)
    floats = [f"{node.output[0]}_input", f"{node.output[0]}_weight"]
    yield _dequantize(node.input[0:3], floats[0])
    axis = 0 if attributes.get("transB", 0) else 1
    yield _dequantize(node.input[3:6], floats[1], axis=axis if weights[node.input[4]].size > 1 else None)
    if len(node.input) > BIAS_OF_GEMM and node.input[BIAS_OF_GEMM]:
        scale_O = attributes.get("alpha", 1.0) * weights[node.input[1]] * weights[node.input[4]]
        floats.append(_bias(model, node.output[0], weights[node.input[BIAS_OF_GEMM]], scale_O))
    yield from _float(node, "Gemm", floats, node.input[RESULT_OF_GEMM:])


def _pair(_model: ModelProto, node: NodeProto, _weights: Initializers) -> Iterator[NodeProto]:
    kind, count = TRIPLES[node.op_type]
    floats = [f"{node.output[0]}_operand_{place}" for place in range(count)]
    for place, name in enumerate(floats):
        yield _dequantize(node.input[3 * place : 3 * place + 3], name)
    yield from _float(node, kind, floats, node.input[3 * count :])


def _one(_model: ModelProto, node: NodeProto, _weights: Initializers) -> Iterator[NodeProto]:
    name = f"{node.output[0]}_input"
    yield _dequantize(node.input[0:3], name)
    yield from _float(node, SINGLES[node.op_type], [name], node.input[3:])


def _float(node: NodeProto, kind: str, floats: list[str], result: Any) -> Iterator[NodeProto]:  # noqa: ANN401 - a list of protobuf
    """Yield the float operator, and the rounding of its result if the result has a scale."""
    attributes = _attributes(node)
    if any(attributes.pop(name, 0) for name in OF_THE_RUNTIME):
        msg = f"the operator {node.op_type} with channels last has no plain form here; export the model again"
        raise ModelError(msg)
    if not any(result):
        yield helper.make_node(kind, floats, [*node.output], **attributes)
        return
    made = f"{node.output[0]}_float"
    yield helper.make_node(kind, floats, [made], **attributes)
    yield helper.make_node("QuantizeLinear", [made, *result], [*node.output])


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _dequantize(triple: Any, name: str, axis: int | None = None) -> NodeProto:  # noqa: ANN401 - a list of protobuf
    return helper.make_node("DequantizeLinear", [*triple], [name], **({} if axis is None else {"axis": axis}))


def _bias(model: ModelProto, result: str, integers_O: NDArray[np.int32], scale_O: NDArray[Any]) -> str:
    name = f"{result}_bias"
    model.graph.initializer.append(numpy_helper.from_array((integers_O * scale_O).astype(np.float32), name))
    return name
