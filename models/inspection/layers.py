"""Layers of a model as its file describes them: name, kind, weight shape and bytes. No weight is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from safetensors import SafetensorError, safe_open

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.source import Source

Kind = Literal["linear", "convolution", "depthwise", "embedding", "norm", "other"]
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
INTEGERS = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Type in a safetensors file -> bytes of one number."""
EMBEDDINGS = ("embed", "wte", "wpe", "lookup", "codebook")
"""A weight matrix whose name has one of these is a table that is looked up."""

STEMS = ("first_conv", "patch_embed", "embed", "stem", "conv1", "conv0")
"""Parts of the names of a model's first convolution, the surest ones first."""


@dataclass(frozen=True)
class Layer:
    """One stored tensor with the kind of layer it belongs to."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    """Linear (O, I), convolution (O, I, K...) or (O, I, KH, KW), embedding (rows, width)."""
    bytes: int
    is_float: bool = True
    """Integers are indices or stored quantized weights, and no parameters in fp32."""

    @property
    def parameters(self) -> int:
        """Count the parameters; integers are none."""
        return prod(self.shape) if self.is_float else 0


def layers_of(source: Source) -> list[Layer]:
    """List the tensors of a model, in the order of its files.

    Raises:
        ModelError: a file is damaged, or its format cannot be read here.
    """
    if source.format in {"transformers", "timm", "safetensors"}:
        found = [layer for file in source.files for layer in _of_safetensors(file)]
        return _with_grey_stem(found) if _is_grey(source.config) else found
    if source.format == "onnx":
        return list(_of_graph(open_graph(source.files[0])))
    msg = (
        f"{source.path} is a {source.format} model, whose layers cannot be read without TensorFlow; convert it to ONNX"
    )
    raise ModelError(msg)


def _of_safetensors(file: Path) -> Iterator[Layer]:
    try:
        with safe_open(file, framework="numpy") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                part = opened.get_slice(name)
                shape, dtype = tuple(part.get_shape()), part.get_dtype()
                kind: Kind = "other" if dtype in INTEGERS else _kind_of(name, shape)
                yield Layer(name, kind, shape, prod(shape) * (FLOATS | INTEGERS).get(dtype, 1), dtype not in INTEGERS)
    except (SafetensorError, OSError) as error:
        msg = f"{file} is no whole safetensors file ({error}); fetch or save it again"
        raise ModelError(msg) from error


def _kind_of(name: str, shape: tuple[int, ...]) -> Kind:
    if len(shape) == 2:  # noqa: PLR2004 - a matrix
        return "embedding" if any(word in name.lower() for word in EMBEDDINGS) else "linear"
    if len(shape) in {3, 4} and name.endswith("weight"):
        return "depthwise" if shape[1] == 1 < shape[0] else "convolution"
    return "norm" if len(shape) == 1 else "other"


def _is_grey(config: Mapping[str, Any]) -> bool:
    """Tell whether the model takes pictures of one channel, as transformers and timm write it."""
    prepared, arguments = (config.get(key) for key in ("pretrained_cfg", "model_args"))
    size = prepared.get("input_size") if isinstance(prepared, dict) else None
    of_timm = size[0] if isinstance(size, list) and size else None
    return 1 in (
        config.get("num_channels"),
        of_timm,
        arguments.get("in_chans") if isinstance(arguments, dict) else None,
    )


def _with_grey_stem(layers: Sequence[Layer]) -> list[Layer]:
    """Correct the first convolution of a model of one channel. Its weight has the form of a depthwise one."""
    found = [layer for word in STEMS for layer in layers if layer.kind == "depthwise" and word in layer.name]
    return [replace(layer, kind="convolution") if layer in found[:1] else layer for layer in layers]


def open_graph(file: Path) -> onnx.ModelProto:
    """Read an ONNX file without its external data.

    Raises:
        ModelError: the file is no ONNX graph.
    """
    try:
        model = onnx.load(file, load_external_data=False)
    except DecodeError as error:
        msg = f"{file} is no whole ONNX file ({error}); export it again"
        raise ModelError(msg) from error
    if not model.graph.node:
        msg = f"{file} has no graph in it; export the model again"
        raise ModelError(msg)
    return model


def _of_graph(model: onnx.ModelProto) -> Iterator[Layer]:
    users = {place: node for node in reversed(model.graph.node) for place in node.input}
    for tensor in model.graph.initializer:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        floating, shape = bool(np.issubdtype(dtype, np.floating)), tuple(tensor.dims)
        kind = _graph_kind(users.get(tensor.name), tensor.name, shape) if floating else "other"
        ordered = shape[::-1] if kind == "linear" and not _is_transposed(users[tensor.name]) else shape
        yield Layer(tensor.name, kind, ordered, prod(shape) * dtype.itemsize, floating)


def _graph_kind(node: onnx.NodeProto | None, name: str, shape: tuple[int, ...]) -> Kind:
    if len(shape) == 1 or node is None:
        return "norm" if len(shape) == 1 else "other"
    place = list(node.input).index(name)
    if node.op_type in {"MatMul", "Gemm"} and len(shape) == 2 and place == 1:  # noqa: PLR2004 - a matrix
        return "linear"
    if node.op_type == "Conv" and place == 1:
        groups = next((each.i for each in node.attribute if each.name == "group"), 1)
        return "depthwise" if shape[1] == 1 < groups else "convolution"
    return "embedding" if node.op_type == "Gather" and place == 0 else "other"


def _is_transposed(node: onnx.NodeProto) -> bool:
    """Tell whether the node takes its weight as (O, I)."""
    return node.op_type == "Gemm" and any(each.name == "transB" and each.i for each in node.attribute)
