"""The speed oracle: time each shape of a model's products in fp32 and in int8 on this machine, before any training.

A linear layer is timed as ONNX Runtime's dynamic quantization writes it (its inputs are scaled at every call), a
convolution as its static quantization does (its inputs are integers already). Both forms run under the runtime's
default options on one pinned thread, in turns.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stillhouse.models.inspection.layers import Layer
from stillhouse.models.measurement.latency import Call, Comparison, Schedule, compare_calls
from stillhouse.models.measurement.statistics import Interval
from stillhouse.models.runtime.session import open_session

TOKENS = 32
"""Rows of the input of a linear layer: the tokens of a sentence."""
SIDE = 14
"""Height and width of a convolution's output."""
SCHEDULE = Schedule(repeats=3, most=9, rounds=20, pause_seconds=0.0, confidence=0.9, limit=1.0)
OPSET, IR = 21, 10
Verdict = Literal["faster", "slower", "no difference"]
Array = NDArray[Any]
Nodes = list[onnx.NodeProto]
Form = tuple[Nodes, dict[str, Array], Array]
"""Nodes from the input `x` to the output `y`, their weights, and an input."""


@dataclass(frozen=True)
class Product:
    """A shape of a linear layer or a convolution, and how many layers have it."""

    kind: str
    shape: tuple[int, ...]
    layers: int


@dataclass(frozen=True)
class Speed:
    """Times of one shape."""

    product: Product
    fp32_ms: float
    int8_ms: float
    ratio: float
    """Time in fp32 / time in int8. Above 1, int8 is faster."""
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        """What the interval says of int8 on this machine."""
        low, high = self.interval
        return "faster" if low > 1 else "slower" if high < 1 else "no difference"


def products_of(layers: Iterable[Layer]) -> list[Product]:
    """Collect the distinct shapes of linear layers and 2-D convolutions, the largest first."""
    counts: dict[tuple[str, tuple[int, ...]], int] = {}
    for layer in layers:
        if layer.kind == "linear" or (layer.kind in {"convolution", "depthwise"} and len(layer.shape) == 4):  # noqa: PLR2004 - OIHW
            key = (layer.kind, layer.shape)
            counts[key] = counts.get(key, 0) + 1
    found = [Product(kind, shape, count) for (kind, shape), count in counts.items()]
    return sorted(found, key=lambda product: -float(np.prod(product.shape)))


def time_products(products: Iterable[Product]) -> Iterator[Speed]:
    """Time each shape in fp32 and in int8. Yields one result after another, about two seconds each."""
    with TemporaryDirectory() as folder:
        for product in products:
            found = _time(product, Path(folder))
            yield Speed(product, found.baseline.p10, found.candidate.p10, found.ratio, found.interval)


def _time(product: Product, folder: Path) -> Comparison:
    openers = []
    for name, (nodes, weights, input_N) in zip(("fp32", "int8"), FORMS[product.kind](product.shape), strict=True):
        path = folder / f"{name}.onnx"
        onnx.save(_model(nodes, weights, input_N), path)
        openers.append(partial(_open, path, input_N))
    return compare_calls((openers[0], openers[1]), SCHEDULE)


def _open(path: Path, input_N: Array) -> Call:
    session = open_session(path)
    return lambda: session.run(None, {"x": input_N})


def _linear(shape: tuple[int, ...]) -> tuple[Form, Form]:
    chance = np.random.default_rng(1)
    weights_IO = chance.normal(size=shape[::-1]).astype(np.float32)
    input_TI = chance.normal(size=(TOKENS, shape[1])).astype(np.float32)
    dynamic = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        helper.make_node("MatMulInteger", ["xq", "w", "xz", "z"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["xs", "s"], ["scale"]),
        helper.make_node("Mul", ["float", "scale"], ["y"]),
    ]
    stored: dict[str, Array] = {
        "w": _integers(weights_IO),
        "z": np.zeros((), np.int8),
        "s": np.full((), 0.02, np.float32),
    }
    return ([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights_IO}, input_TI), (dynamic, stored, input_TI)


def _depthwise(shape: tuple[int, ...]) -> tuple[Form, Form]:
    return _convolution(shape, groups=shape[0])


def _convolution(shape: tuple[int, ...], groups: int = 1) -> tuple[Form, Form]:
    chance = np.random.default_rng(1)
    weights_OIHW = chance.normal(size=shape).astype(np.float32)
    # A kernel of even sides cuts the picture into patches, so that its stride is its side.
    strides, pads = zip(*((1, side // 2) if side % 2 else (side, 0) for side in shape[2:]), strict=True)
    sides = (SIDE * stride for stride in strides)
    input_NCHW = chance.normal(size=(1, shape[1] * groups, *sides)).astype(np.float32)
    options = {"group": groups, "strides": strides, "pads": pads * 2}
    names = ["x", "xs", "xz", "w", "s", "z", "ys", "xz"]
    scale = np.full((), 0.02, np.float32)
    stored: dict[str, Array] = {
        "w": _integers(weights_OIHW),
        "z": np.zeros((), np.int8),
        "xz": np.full((), 128, np.uint8),
        "s": scale,
        "xs": scale,
        "ys": scale,
    }
    raw_NCHW = chance.integers(0, 256, input_NCHW.shape).astype(np.uint8)
    fp32 = [helper.make_node("Conv", ["x", "w"], ["y"], **options)]
    return (fp32, {"w": weights_OIHW}, input_NCHW), (
        [helper.make_node("QLinearConv", names, ["y"], **options)],
        stored,
        raw_NCHW,
    )


def _integers(weights: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.clip(np.round(weights / 0.02), -127, 127).astype(np.int8)


def _model(nodes: Nodes, weights: dict[str, Array], input_N: Array) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(input_N.dtype)
    inputs = [helper.make_tensor_value_info("x", kind, input_N.shape)]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "product", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


FORMS: Mapping[str, Callable[[tuple[int, ...]], tuple[Form, Form]]] = {
    "linear": _linear,
    "convolution": _convolution,
    "depthwise": _depthwise,
}
"""Kind of layer -> the function that makes it of a weight's shape, in fp32 and in int8."""
