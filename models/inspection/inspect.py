"""Inspect a user's model: what it is for, what it consists of, and what can make it smaller."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from stillhouse.models.inspection.components import Component, components_of
from stillhouse.models.inspection.keras_layers import layers_from
from stillhouse.models.inspection.labels import kind_of_head, labels_of
from stillhouse.models.inspection.layers import Layer, layers_of, open_graph
from stillhouse.models.inspection.methods import Applies, methods_for
from stillhouse.models.inspection.source import Source, find_source
from stillhouse.models.inspection.task import Task, architectures_of, task_of

CLASSIFIER = "-classification"
"""End of the name of each task of a classifier."""
ReadHeader = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Inspection:
    """What a model's files say about it."""

    source: Source
    task: Task | None
    architectures: tuple[str, ...]
    layers: Sequence[Layer]
    components: Sequence[Component]
    operators: Sequence[tuple[str, int]]
    """Operator or kind of layer -> how often it is there, most often first."""
    methods: Sequence[Applies]
    ends: Sequence[str] = ()
    """Inputs, then outputs of an ONNX graph, such as `input images uint8 (N, 3, 64, 64)`."""
    labels: tuple[str, ...] = ()
    """Names of a classifier's classes, if its folder says them."""
    other_head: str = ""
    """What a classifier is if it does not choose one class of several."""

    @property
    def parameters(self) -> int:
        """Count the model's parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Count the bytes of the tensors."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def missing(self) -> tuple[str, ...]:
        """Flags that the user must give, because the files do not say it."""
        return () if self.task else ("--task",)


def inspect_model(path: Path, read_header: ReadHeader | None = None) -> Inspection:
    """Read a model's files, without running anything of the model.

    Args:
        path: a folder or a file.
        read_header: reads `tensors` (path, shape, bytes) and `layers` (name, class) of a Keras file or a SavedModel,
            where HDF5 and TensorFlow are at hand.

    Raises:
        ModelError: the model cannot be read. The error says what to do.
    """
    source = find_source(path)
    if source.format in {"keras", "tensorflow"} and read_header:
        return _inspect_header(source, read_header(path))
    layers = layers_of(source)
    components = components_of(layers)
    methods = methods_for(source, layers, components)
    named = task_of(source), architectures_of(source)
    if source.format == "onnx":
        graph = open_graph(source.files[0]).graph
        operators = Counter(node.op_type for node in graph.node).most_common()
        return Inspection(source, *named, layers, components, operators, methods, _ends(graph))
    kinds = Counter(layer.kind for layer in layers if layer.kind != "other").most_common()
    labels = labels_of(source) if str(named[0]).endswith(CLASSIFIER) else ()
    head = kind_of_head(source.config, len(labels)) if labels else ""
    return Inspection(source, *named, layers, components, kinds, methods, (), labels, head)


def _inspect_header(source: Source, header: Mapping[str, Any]) -> Inspection:
    layers = layers_from(header["tensors"])
    components = components_of(layers)
    kinds = [kind for _, kind in header["layers"]] or [layer.kind for layer in layers if layer.kind != "other"]
    methods = methods_for(source, layers, components)
    return Inspection(source, None, (), layers, components, Counter(kinds).most_common(), methods)


def _ends(graph: onnx.GraphProto) -> list[str]:
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [_end("input", value) for value in graph.input if value.name not in stored]
    return inputs + [_end("output", value) for value in graph.output]


def _end(side: str, value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    lengths = [
        each.dim_param or (str(each.dim_value) if each.HasField("dim_value") else "?") for each in tensor.shape.dim
    ]
    return f"{side} {value.name} {onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} ({', '.join(lengths)})"
