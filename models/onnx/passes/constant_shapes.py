"""Replace computed Reshape shapes by constants.

The exporter computes each shape at every call: six operators per shape, in a graph of thirty operators.
"""

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

SAME, REST = 0, -1
"""ONNX values for a dimension that stays, and for the dimension that takes the remaining elements."""


@dataclass(frozen=True)
class _Graph:
    """Producers and constants of a graph."""

    makers: dict[str, NodeProto]
    constants: dict[str, list[int]]
    first_dimensions: dict[str, str]
    """Symbol of the first dimension, by tensor."""
    batch: str


def reshape_by_constants(model: ModelProto) -> None:
    """Give each Reshape a constant shape, in place, if it keeps the batch and computes at most one other dimension."""
    graph, found = model.graph, _graph(model)
    for number, node in enumerate(node for node in graph.node if node.op_type == "Reshape"):
        shape = _constant_shape(node, found)
        if shape is not None:
            name = f"constant_shape_{number}"
            graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
            node.input[1] = name
            del node.attribute[:]  # without allowzero, 0 means that the dimension stays
    _drop_unread(model)


def _graph(model: ModelProto) -> _Graph:
    graph = model.graph
    first = {
        value.name: value.type.tensor_type.shape.dim[0].dim_param
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.shape.dim
    }
    single = [tensor for tensor in graph.initializer if tensor.dims == [1]]
    constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in single}
    makers = {output: node for node in graph.node for output in node.output}
    return _Graph(makers, constants, first, first[graph.input[0].name])


def _constant_shape(node: NodeProto, graph: _Graph) -> list[int] | None:
    maker = graph.makers.get(node.input[1])
    keeps_batch = graph.first_dimensions.get(node.input[0]) == graph.first_dimensions.get(node.output[0]) == graph.batch
    if maker is None or maker.op_type != "Concat" or not keeps_batch:
        return None
    shape = [SAME, *(graph.constants.get(part, [REST])[0] for part in maker.input[1:])]
    return shape if shape.count(REST) <= 1 else None


def _drop_unread(model: ModelProto) -> None:
    """Remove nodes whose outputs are not read any more, from the last node to the first."""
    graph = model.graph
    read = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):
        if read.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            read.update(node.input)
