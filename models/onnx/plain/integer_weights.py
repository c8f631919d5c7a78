"""Write ONNX Runtime's own operators with integer weights as DequantizeLinear and a float operator.

The weights and their scales stay as they are. The input of a product is no longer rounded to 8 bits here: the other
runtime decides that.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.passes.integer_graph import raise_opset

Initializers = Mapping[str, NDArray[Any]]
OPSET_OF_INT4 = 21


def dequantize_weights(model: ModelProto) -> ModelProto:
    """Return the model with plain operators instead of MatMulNBits, GatherBlockQuantized and MatMulInteger.

    Raises:
        ModelError: an operator has a form that has no plain form here.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    if any(node.op_type in {"MatMulNBits", "GatherBlockQuantized"} for node in model.graph.node):
        model = raise_opset(model, OPSET_OF_INT4)
    _spell_products(model, weights)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        spell = {"MatMulNBits": _product, "GatherBlockQuantized": _table}.get(node.op_type)
        model.graph.node.extend(spell(model, node, weights) if spell else [node])
    return model


def _product(model: ModelProto, node: NodeProto, weights: Initializers) -> list[NodeProto]:
    sizes = _attributes(node)
    _expect_plain(node, node.input[3:5])
    bytes_OJB, scales_OJ = weights[node.input[1]], weights[node.input[2]].reshape(sizes["N"], -1)
    integers_OI = unpack(bytes_OJB.reshape(sizes["N"], -1), sizes["bits"])[:, : sizes["K"]]
    result = node.output[0]
    steps = [_store(model, result, integers_OI.T, _one_scale(node, scales_OJ), sizes["bits"], axis=1)]
    bias = node.input[5] if len(node.input) > 5 else ""  # noqa: PLR2004 - the operator's sixth input
    product = f"{result}_product" if bias else result
    steps.append(helper.make_node("MatMul", [node.input[0], steps[0].output[0]], [product]))
    return [*steps, *([helper.make_node("Add", [product, bias], [result])] if bias else [])]


def _table(model: ModelProto, node: NodeProto, weights: Initializers) -> list[NodeProto]:
    sizes = _attributes(node)
    _expect_plain(node, node.input[3:4])
    rows_VD = unpack(weights[node.input[0]], sizes["bits"])
    scale_V = _one_scale(node, weights[node.input[2]])
    store = _store(model, node.output[0], rows_VD, scale_V, sizes["bits"], axis=0)
    return [store, helper.make_node("Gather", [store.output[0], node.input[1]], [*node.output], axis=0)]


def unpack(bytes_OB: NDArray[np.uint8], bits: int) -> NDArray[np.int8]:
    """Return the integers (O, I) of packed rows: the inverse of `few_bit_products.pack`."""
    if bits == 4:  # noqa: PLR2004 - two in a byte
        bytes_OB = np.stack([bytes_OB & 15, bytes_OB >> 4], axis=-1).reshape(len(bytes_OB), -1)
    return (bytes_OB.astype(np.int16) - (1 << (bits - 1))).astype(np.int8)


def _spell_products(model: ModelProto, weights: Initializers) -> None:
    """Replace `float(round(X) @ integers) * scales`, as `integer_products` writes it, by `X @ (integers * scale)`."""
    makers = {output: node for node in model.graph.node for output in node.output}
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in [node for node in model.graph.node if node.op_type == "MatMulInteger"]:
        rounding, cast = makers[node.input[0]], users[node.output[0]][0]
        last = users[cast.output[0]][0]
        scales = makers[next(name for name in last.input if name != cast.output[0])]
        scale = next((name for name in scales.input if name in weights), None)
        if rounding.op_type != "DynamicQuantizeLinear" or scale is None:
            msg = f"the operator MatMulInteger {node.name} has no plain form here; export the model again"
            raise ModelError(msg)
        _replace_product(model, node, last, rounding.input[0], scale)
    _drop_unused(model)


def _replace_product(model: ModelProto, node: NodeProto, last: NodeProto, source: str, scale: str) -> None:
    result = last.output[0]
    steps = [
        helper.make_node("DequantizeLinear", [node.input[1], scale], [f"{result}_weight"], axis=1),
        helper.make_node("MatMul", [source, f"{result}_weight"], [result]),
    ]
    place = [*model.graph.node].index(last)
    model.graph.node.remove(last)
    for step in reversed(steps):
        model.graph.node.insert(place, step)


def _drop_unused(model: ModelProto) -> None:
    """Remove nodes that nothing reads, in place."""
    while True:
        read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
        unused = [node for node in model.graph.node if not read & {*node.output}]
        if not unused:
            return
        for node in unused:
            model.graph.node.remove(node)


def _store(  # noqa: PLR0913, PLR0917 - a weight with all that belongs to it
    model: ModelProto, name: str, integers: NDArray[np.int8], scale: NDArray[np.float32], bits: int, axis: int
) -> NodeProto:
    kind = TensorProto.INT4 if bits == 4 else TensorProto.INT8  # noqa: PLR2004 - bits of a weight
    values = np.ascontiguousarray(integers).astype(helper.tensor_dtype_to_np_dtype(kind))
    model.graph.initializer.append(numpy_helper.from_array(values, f"{name}_integers"))
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(scale), f"{name}_scales"))
    return helper.make_node("DequantizeLinear", [f"{name}_integers", f"{name}_scales"], [f"{name}_whole"], axis=axis)


def _one_scale(node: NodeProto, scales_OJ: NDArray[np.float32]) -> NDArray[np.float32]:
    if not (scales_OJ == scales_OJ[:, :1]).all():
        msg = f"the operator {node.op_type} with a scale for each block has no plain form here; quantize by channel"
        raise ModelError(msg)
    return scales_OJ[:, 0]


def _expect_plain(node: NodeProto, zeros: Any) -> None:  # noqa: ANN401 - a list of protobuf
    if any(zeros):
        msg = f"the operator {node.op_type} with zero points has no plain form here; quantize symmetrically"
        raise ModelError(msg)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
