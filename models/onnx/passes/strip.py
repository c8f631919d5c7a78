"""Remove bytes and operators that a deployed ONNX file does not need."""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from stillhouse.models.onnx.files import check_onnx, save_onnx
from stillhouse.models.onnx.passes.norms_apart import keep_norms_apart
from stillhouse.models.onnx.passes.patchify import widen_patches
from stillhouse.models.onnx.passes.subnormals import flush_subnormals


def slim(path: Path) -> None:
    """Shorten inner names, drop metadata, and feed raw bytes directly to the first integer operator, in place."""
    model = onnx.load(path)
    _skip_identity_quantize(model)
    widen_patches(model)
    keep_norms_apart(model)
    flush_subnormals(model)
    _drop_unused(model)
    _shorten_names(model)
    save_onnx(model, path)
    check_onnx(model, path)


def _skip_identity_quantize(model: ModelProto) -> None:
    """Remove uint8 -> Cast (-> Sub) -> QuantizeLinear if its result equals the raw bytes.

    The result equals the raw bytes if the scale is 1 and the zero point is the subtracted value, or 0 without a Sub.
    """
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    source = graph.input[0].name
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] == source]:
        chain, zero = [cast], np.array(0)
        if [node.op_type for node in _readers(model, cast.output[0])] == ["Sub"]:
            chain += _readers(model, cast.output[0])
            zero = values.get(chain[-1].input[1], np.array(np.nan))
        readers = _readers(model, chain[-1].output[0])
        if readers and all(_is_identity(node, values, zero) for node in readers):
            for reader in readers:
                _rewire(model, reader.output[0], source)
            for node in (*chain, *readers):
                graph.node.remove(node)


def _is_identity(node: NodeProto, values: dict[str, np.ndarray], zero: np.ndarray) -> bool:
    if node.op_type != "QuantizeLinear":
        return False
    scale, zero_point = (values[name] for name in node.input[1:3])
    return bool(np.isclose(scale, 1.0, atol=1e-6).all() and zero_point.dtype == np.uint8 and (zero_point == zero).all())


def _readers(model: ModelProto, name: str) -> list[NodeProto]:
    return [node for node in model.graph.node if name in node.input]


def _rewire(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


def _drop_unused(model: ModelProto) -> None:
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _shorten_names(model: ModelProto) -> None:
    graph = model.graph
    outer = {value.name for value in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {}

    def rename(name: str) -> str:
        return name if name in outer else short.setdefault(name, f"{len(short):x}")

    for node in graph.node:
        node.name = node.doc_string = ""
        del node.metadata_props[:]
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name, tensor.doc_string = rename(tensor.name), ""
        del tensor.metadata_props[:]
    for message in (model, graph):
        message.doc_string = ""
        del message.metadata_props[:]
    del graph.value_info[:]
