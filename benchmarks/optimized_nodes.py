"""Take single nodes out of the graphs that ONNX Runtime made of a whole model, to time them as they stand there.

The runtime's layouts (blocks of channels in fp32, channels last in int8) have no borders here, as between two
convolutions of a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from stillhouse.models.measurement.latency import Call

LINEAR, DYNAMIC = ("Gemm", "MatMul"), ("DynamicQuantizeMatMul", "MatMulIntegerToFloat")
PLACE_OF_WEIGHTS = {"QLinearConv": 3}
"""Kind of node -> which input has its weights; otherwise the second."""
WORK = 4e6
"""Multiplications of one call. A small node stands so often in its graph that a call has about as many."""
MOST_COPIES = 64
BLOCK = 16
"""Channels that the runtime keeps together in fp32 on a processor with AVX-512."""
DOMAINS = {"": 21, "com.microsoft": 1, "com.microsoft.nchwc": 1}
Node = onnx.NodeProto
Key = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Part:
    """A graph of a few nodes, several times beside each other, and its input."""

    model: onnx.ModelProto
    input_N: NDArray[Any]

    def open(self) -> Call:
        """Open the graph as it is: it is optimized already."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = self.model.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": self.input_N})


def references(files: Mapping[str, Path]) -> dict[Key, tuple[Part, Part]]:
    """Take the first node of each shape out of the optimized graphs.

    Args:
        files: `sizes` is the exported graph with the shapes of all tensors; `plain`, `static` and `dynamic` are what
            the runtime made of it in fp32, with int8 convolutions, and with int8 matrix products.

    Returns:
        Kind and shape, as the oracle has them -> the part in fp32 and in int8.
    """
    graphs = {kind: onnx.load(file).graph for kind, file in files.items() if kind != "fp32"}
    sizes = {each.name: _shape(each) for each in (*graphs["sizes"].value_info, *graphs["sizes"].input)}
    found: dict[Key, tuple[Part, Part]] = {}
    for kinds, quantized, int8 in ((("Conv",), "static", ("QLinearConv",)), (LINEAR, "dynamic", DYNAMIC)):
        for original in _weighted(graphs["sizes"], kinds):
            key, size = _key(graphs["sizes"], original), sizes[original.input[0]]
            if key not in found:
                fp32, other = _first(graphs["plain"], kinds, key), _first(graphs[quantized], int8, key)
                found[key] = _part(graphs["plain"], fp32, size), _part(graphs[quantized], other, size)
    return found


def _first(graph: onnx.GraphProto, kinds: Sequence[str], key: Key) -> Node:
    """Find the first node of a shape. The runtime changes the order of branches."""
    return next(node for node in _weighted(graph, kinds) if _is_alike(_key(graph, node)[1], key))


def _is_alike(dims: Sequence[int], key: Key) -> bool:
    """Tell whether stored weights are of a shape. The channels of a convolution may be filled up to a block."""
    kind, shape = key
    if kind == "linear":
        return tuple(dims) == shape
    pairs = zip(dims, shape, (BLOCK, BLOCK, 1, 1), strict=True)
    return all(found in {wanted, -(-wanted // block) * block} for found, wanted, block in pairs)


def _weighted(graph: onnx.GraphProto, kinds: Sequence[str]) -> list[Node]:
    """List the nodes of these kinds that have stored weights, in the order in which they run."""
    stored = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type in kinds and _weights_of(node) in stored]


def _weights_of(node: Node) -> str:
    return node.input[PLACE_OF_WEIGHTS.get(node.op_type, 1)]


def _key(graph: onnx.GraphProto, node: Node) -> Key:
    shape = next(tuple(tensor.dims) for tensor in graph.initializer if tensor.name == _weights_of(node))
    if "Conv" in node.op_type:
        return ("depthwise" if _number(node, "group", 1) > 1 and shape[1] == 1 else "convolution"), shape
    return "linear", shape if node.op_type == "Gemm" and _number(node, "transB", 0) else shape[::-1]


def _number(node: Node, name: str, default: int) -> int:
    return next((int(each.i) for each in node.attribute if each.name == name), default)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(each.dim_value for each in value.type.tensor_type.shape.dim)


def _part(graph: onnx.GraphProto, node: Node, size: Sequence[int]) -> Part:
    """Make a graph of a node with what scales its input."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [*_scaling(graph, node), node]
    size = _size_in(node, stored, size)
    copies = int(np.clip(WORK / _products(stored[_weights_of(node)].dims, node, size), 1, MOST_COPIES))
    dtype = np.uint8 if node.op_type == "QLinearConv" else np.float32
    input_N = np.random.default_rng(1).integers(0, 256, size).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(input_N.dtype)
    ends = [helper.make_tensor_value_info("x", kind, size)], [helper.make_tensor_value_info("end", 7, None)]
    made = [each for copy in range(copies) for each in _renamed(nodes, stored, copy)]
    made.append(helper.make_node("Shape", [made[-1].output[0]], ["end"]))
    used = sorted({name for each in made for name in each.input if name in stored})
    content = helper.make_graph(made, "part", *ends, [stored[name] for name in used])
    domains = [helper.make_opsetid(domain, version) for domain, version in DOMAINS.items()]
    return Part(helper.make_model(content, opset_imports=domains, ir_version=10), input_N)


def _scaling(graph: onnx.GraphProto, node: Node) -> list[Node]:
    made = {output: each for each in graph.node for output in each.output}
    before = made.get(node.input[0])
    return [before] if before is not None and before.op_type == "DynamicQuantizeLinear" else []


def _size_in(node: Node, stored: Mapping[str, onnx.TensorProto], size: Sequence[int]) -> tuple[int, ...]:
    """Return the size of the input in the node's own layout, with the channels that the runtime added."""
    if "Conv" not in node.op_type:
        return (int(np.prod(size[:-1])), size[-1])
    channels = stored[_weights_of(node)].dims[1] * _number(node, "group", 1)
    return (1, *size[2:], channels) if _number(node, "channels_last", 0) else (1, channels, *size[2:])


def _products(weights: Sequence[int], node: Node, size: Sequence[int]) -> float:
    """Count the multiplications, roughly: a stride is not seen."""
    if "Conv" in node.op_type:
        return float(np.prod(weights) * np.prod(size) / (weights[1] * _number(node, "group", 1)))
    return float(np.prod(weights) * np.prod(size[:-1]))


def _renamed(nodes: Sequence[Node], stored: Mapping[str, onnx.TensorProto], copy: int) -> list[Node]:
    """Copy nodes in a row. The first one reads `x`; what a residual connection would add is left out."""
    own = {name: f"{name}_{copy}" for node in nodes for name in node.output if name}
    found = []
    for node in nodes:
        again = onnx.NodeProto()
        again.CopyFrom(node)
        again.name = f"{node.name}_{copy}"
        again.output[:] = [own.get(name, "") for name in node.output]
        known = [own.get(name, name if name in stored else "") for name in node.input]
        again.input[:] = ["x" if node is nodes[0] and not place else name for place, name in enumerate(known)]
        found.append(again)
    return found
