"""Find the weight of each layer in an ONNX graph, and put the checkpoint's integers into it.

Weights are found by their values, because exporters rename and transpose them.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from stillhouse.models.compression.quantization.rounding import Stored
from stillhouse.models.errors import ModelError

PACKED = {1: (TensorProto.INT2, 25), 7: (TensorProto.INT4, 21), 127: (TensorProto.INT8, 20)}
"""Largest magnitude -> integer type, and the first opset that multiplies this type by a scale per channel."""
BIAS_ROOM = 2**30
"""Largest magnitude of an int32 bias: half the range, because the products are added to it."""


@dataclass(frozen=True)
class Place:
    """Position of a layer's weight in a graph."""

    initializer: str
    transposed: bool


def find_weight(model: ModelProto, layer: str, weight: NDArray[np.float32]) -> Place:
    """Find a layer's weight (O, ...) among the initializers.

    Raises:
        ModelError: the weight is not there.
    """
    named = sorted(model.graph.initializer, key=lambda tensor: tensor.name != f"{layer}.weight")
    for tensor in named:
        for transposed, view in ((False, weight), (True, weight.T)):
            if tuple(tensor.dims) == view.shape and np.array_equal(numpy_helper.to_array(tensor), view):
                return Place(tensor.name, transposed)
    msg = f"the exported graph does not hold the weight of layer {layer} as it is; list the layer in keep_float"
    raise ModelError(msg)


def readers(model: ModelProto, name: str) -> list[NodeProto]:
    """List the nodes that read a tensor."""
    return [node for node in model.graph.node if name in node.input]


def put_integers(quantized: ModelProto, prepared: ModelProto, place: Place, stored: Stored) -> None:
    """Replace the quantizer's integers and scales of a layer by given ones, and round its bias again to match.

    Args:
        quantized: output of the quantizer, changed in place. It names a tensor X `X_quantized` and `X_scale`.
        prepared: input of the quantizer. It has the float biases.
        place: position of the weight in `prepared`.
        stored: integers and scales of the checkpoint.
    """
    name, transposed = _quantized_name(quantized, place)
    integers, scale_O = stored.integers.numpy(), stored.scale_O.numpy().astype(np.float64)
    for node in readers(quantized, f"{name}_quantized"):
        if (bias := _bias_name(node)) is not None:
            bias_O = _value(prepared, bias.removesuffix("_quantized")).astype(np.float64)
            input_scale = float(_value(quantized, node.input[1]))
            integers, scale_O = _with_room(integers, scale_O, np.abs(bias_O) / input_scale / BIAS_ROOM)
            _replace(quantized, bias, np.round(bias_O / (input_scale * scale_O)).astype(np.int32))
    _replace(quantized, f"{name}_quantized", integers.T if transposed else integers)
    _replace(quantized, f"{name}_scale", scale_O.astype(np.float32))


def store_weight(model: ModelProto, place: Place, stored: Stored) -> ModelProto:
    """Return a float graph that computes a weight from packed integers times their scales.

    The product is a Cast and a Mul, not a DequantizeLinear. Under the runtime's default options, Cast and Mul are
    computed once, when the file is loaded. A DequantizeLinear is computed at every call. The results are bit-identical.
    """
    integers = stored.integers.numpy().T if place.transposed else stored.integers.numpy()
    kind, opset = next(PACKED[largest] for largest in sorted(PACKED) if np.abs(integers).max() <= largest)
    model = raise_opset(model, opset)
    values = integers.astype(helper.tensor_dtype_to_np_dtype(kind))
    packed = numpy_helper.from_array(values, f"{place.initializer}_quantized")
    scale_O = stored.scale_O.numpy()
    broadcast = scale_O if place.transposed else scale_O.reshape(-1, *[1] * (integers.ndim - 1))
    scale = numpy_helper.from_array(broadcast, f"{place.initializer}_scale")
    model.graph.initializer.remove(_tensor(model.graph, place.initializer))
    model.graph.initializer.extend([packed, scale])
    whole = f"{place.initializer}_cast"
    model.graph.node.insert(0, helper.make_node("Cast", [packed.name], [whole], to=TensorProto.FLOAT))
    model.graph.node.insert(1, helper.make_node("Mul", [whole, scale.name], [place.initializer]))
    return model


def raise_opset(model: ModelProto, opset: int) -> ModelProto:
    """Return the model with at least this opset."""
    if next(entry.version for entry in model.opset_import if not entry.domain) >= opset:
        return model
    raised = onnx.version_converter.convert_version(model, opset)
    raised.ir_version = helper.find_min_ir_version_for(raised.opset_import, ignore_unknown=True)
    return raised


def _quantized_name(quantized: ModelProto, place: Place) -> tuple[str, bool]:
    """Return the quantizer's name of the weight, and whether the weight is transposed there."""
    turned = f"{place.initializer}_Transposed"
    if any(tensor.name == f"{turned}_quantized" for tensor in quantized.graph.initializer):
        return turned, not place.transposed
    return place.initializer, place.transposed


def _bias_name(node: NodeProto) -> str | None:
    position = {"QLinearConv": 8, "QGemm": 6}.get(node.op_type)
    return (
        node.input[position] if position is not None and len(node.input) > position and node.input[position] else None
    )


def _with_room(
    integers: NDArray[np.int8], scale_O: NDArray[np.float64], least_O: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Raise the scales of channels whose bias would not fit int32. Their weights are tiny beside the bias."""
    if (scale_O >= least_O).all():
        return integers, scale_O
    raised_O = np.maximum(scale_O, least_O)
    ratio = (scale_O / raised_O).reshape(-1, *[1] * (integers.ndim - 1))
    return np.round(integers * ratio).astype(np.int8), raised_O


def _value(model: ModelProto, name: str) -> NDArray[np.float32]:
    value: NDArray[np.float32] = numpy_helper.to_array(_tensor(model.graph, name))
    return value


def _tensor(graph: GraphProto, name: str) -> TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def _replace(model: ModelProto, name: str, value: NDArray[np.generic]) -> None:
    _tensor(model.graph, name).CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
