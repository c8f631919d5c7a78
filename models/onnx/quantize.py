"""Convert fp32 ONNX to integer ONNX with ONNX Runtime's quantizers, then put the checkpoint's own integers in.

The quantizers round again, to `round(k * 127 / 7)` for a 4-bit integer k. The shipped file holds k itself, because a
file with few distinct values packs well. The kernels are int8 kernels for all bit widths.
"""

import contextlib
import logging
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from stillhouse.models.compression.quantization.rounding import Stored
from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.calibration import METHODS, write_ranges
from stillhouse.models.onnx.files import save_onnx
from stillhouse.models.onnx.passes.few_bit_products import FEW_WEIGHTS, is_linear, multiply_few_bits
from stillhouse.models.onnx.passes.float_operators import keep_operators_float
from stillhouse.models.onnx.passes.integer_graph import Place, find_weight, put_integers, readers, store_weight
from stillhouse.models.onnx.passes.integer_products import multiply_integers, reads_sequence
from stillhouse.models.onnx.passes.integer_tables import gather_integers, is_table
from stillhouse.models.runtime.weights import weights_of

SLOWER = ("Softmax",)
"""Operators that are slower on integers: 51 rows of 102 letters took 7.6 microseconds more than in floats."""
ERRORS = 3
"""The runtime's level of messages that tells errors only."""


@dataclass(frozen=True)
class Floats:
    """An fp32 file, prepared for the quantizers, and the integers for its weights."""

    path: Path
    model: ModelProto
    places: Mapping[str, Place]
    """Position of each layer's weight."""
    stored: Mapping[str, Stored]
    """Integers by layer. The quantizer rounds the weights of all other layers."""
    float_inputs: Collection[str]
    """Layers of `stored` whose inputs stay floats."""
    excluded: list[str]
    """Names of the nodes that stay float."""


def export_integer(  # noqa: PLR0913, PLR0917 - the whole contract, each part named by its caller
    float_path: Path,
    weights: Mapping[str, NDArray[np.float32]],
    stored: Mapping[str, Stored],
    how: Mapping[str, Any],
    calibration: NDArray[np.generic],
    path: Path,
) -> None:
    """Write the integer form of an fp32 ONNX file.

    Args:
        float_path: the fp32 file.
        weights: layer name -> weight, for its convolutions and linear layers.
        stored: layer name -> integers for the file.
        how: `activations` static, dynamic or float; `calibration` minmax, entropy or percentile; `keep_float`; and
            `float_inputs` if there are any.
        calibration: raw inputs (N, ...) that determine the static scales.
        path: where to write.

    Raises:
        ModelError: the runtime lacks an operator.
    """
    with tempfile.TemporaryDirectory() as folder:
        floats = _prepare(float_path, weights, stored, how, Path(folder) / "prepared.onnx")
        if how["activations"] == "static":
            integer = _static(floats, calibration, how["calibration"])
        else:
            integer = _ONLY_WEIGHTS[how["activations"]](floats)
    save_onnx(integer, path)
    _refuse_unless_it_loads(path)


def _prepare(
    float_path: Path,
    weights: Mapping[str, NDArray[np.float32]],
    stored: Mapping[str, Stored],
    how: Mapping[str, Any],
    path: Path,
) -> Floats:
    keep_float, float_inputs = how["keep_float"], [name for name in how.get("float_inputs", ()) if name in stored]
    onnxruntime.set_default_logger_severity(ERRORS)  # it warns of constants that it removes
    large = weights_of(float_path).is_file()
    quant_pre_process(str(float_path), str(path), skip_symbolic_shape=True, save_as_external_data=large)
    model = onnx.load(path)
    _name_nodes(model)
    save_onnx(model, path)
    model = onnx.load(path) if large else model
    places = {name: find_weight(model, name, weight) for name, weight in weights.items()}
    excluded = [node.name for name in (*keep_float, *float_inputs) for node in readers(model, places[name].initializer)]
    excluded += _before_layers(model, {place.initializer for place in places.values()})
    excluded += [node.name for node in model.graph.node if node.op_type in SLOWER]
    return Floats(path, model, places, _once(places, stored, keep_float), float_inputs, excluded)


def _once(places: Mapping[str, Place], stored: Mapping[str, Stored], keep_float: list[str]) -> dict[str, Stored]:
    """Return the integers to write. The exporter merges equal weights, and one layer writes for all that share them."""
    writers = {places[name].initializer: name for name in stored if name not in keep_float}
    return {name: stored[name] for name in writers.values()}


def _name_nodes(model: ModelProto) -> None:
    """Give each node without a name one, in place. The quantizer excludes nodes by their names."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"


def _before_layers(model: ModelProto, initializers: set[str]) -> list[str]:
    """Name the nodes before the first layer with weights. The numbers of a front end are too fine for 8 bits."""
    nodes = list(model.graph.node)
    first = next((place for place, node in enumerate(nodes) if initializers & {*node.input}), 0)
    return [node.name for node in nodes[:first]]


def _static(floats: Floats, calibration: NDArray[np.generic], method: str) -> ModelProto:
    """Make activations uint8, with calibrated scales.

    A convolution with fewer than 16 channels is slower in this form than in fp32.
    """
    path = floats.path.with_name("static.onnx")
    with _silence_warnings():
        quantization.quantize_static(
            str(floats.path),
            str(path),
            quant_format=quantization.QuantFormat.QOperator,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=METHODS[method],
            nodes_to_exclude=floats.excluded,
            calibration_cache_path=write_ranges(floats.path, calibration, method),
        )
    integer = onnx.load(path)
    for name, stored in floats.stored.items():
        if name in floats.float_inputs:
            integer = store_weight(integer, floats.places[name], stored)
        else:
            put_integers(integer, floats.model, floats.places[name], stored)
    keep_operators_float(integer, SLOWER)
    return integer


@contextlib.contextmanager
def _silence_warnings() -> Iterator[None]:
    """Suppress the quantizer's warnings about tensors that are not quantized, such as the axes of a norm."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _dynamic(floats: Floats) -> ModelProto:
    """Make the activations of linear layers int8, scaled at every call. Other layers are as in `_weights_only`.

    The quantizer's ConvInteger takes one scale for all channels and twice the time of fp32: 177 against 88 microseconds
    for a residual network of 120 K weights, batch 1. So convolutions keep float activations. A linear layer with few
    weights stays float, too.
    """
    model = floats.model
    for name, stored in floats.stored.items():
        layer = store_weight if name in floats.float_inputs else _integer_layer
        model = layer(model, floats.places[name], stored)
    return model


def _integer_layer(model: ModelProto, place: Place, stored: Stored) -> ModelProto:
    if is_table(model, place, stored.integers.shape[1]):
        gather_integers(model, place, stored)
    elif stored.integers.numel() <= FEW_WEIGHTS or not is_linear(model, place):
        return store_weight(model, place, stored)
    elif reads_sequence(model, place):
        return multiply_integers(model, place, stored)
    else:
        multiply_few_bits(model, place, stored)
    return model


def _weights_only(floats: Floats) -> ModelProto:
    """Keep activations float. The file has packed integers, and the runtime multiplies them by their scales.

    The runtime does this once, when it loads the file. A call takes the time and the memory of fp32.
    """
    model = floats.model
    for name, stored in floats.stored.items():
        model = store_weight(model, floats.places[name], stored)
    return model


_ONLY_WEIGHTS: dict[str, Callable[[Floats], ModelProto]] = {"dynamic": _dynamic, "float": _weights_only}


def _refuse_unless_it_loads(path: Path) -> None:
    try:
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common base but this
        missing = re.search(r"implementation for (\w+)", str(error))
        operator = f"operator {missing[1]}" if missing else " ".join(str(error).split())
        msg = (
            f"the integer runtime cannot run the exported file ({operator}); ship floats: leave out quantize, "
            "or list the layer in keep_float"
        )
        raise ModelError(msg) from error
