"""Adapt a foreign ONNX graph to raw pixels or samples and logits: names, layout, scale and logarithm are edited."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx import NodeProto, TensorProto, compose, helper, numpy_helper

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.export import INPUT, OUTPUT, SPEECH_INPUT

Layout = Literal["NCHW", "NHWC"]
Answers = Literal["logits", "probabilities"]
LEAST_PROBABILITY = 1e-7
"""A lower probability is replaced by this value, because the logarithm of 0 is minus infinity."""
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
NARROW = (TensorProto.INT8, TensorProto.BOOL, TensorProto.STRING)
"""Input types that cannot hold pixels from 0 to 255."""
Chain = list[tuple[str, dict[str, Any]]]
"""Operators with their attributes. `by` is a constant second input: a float, or a list of places."""
TO_FLOAT = ("Cast", {"to": TensorProto.FLOAT})
RAW = {1: (SPEECH_INPUT, TensorProto.INT16), 3: (INPUT, TensorProto.UINT8)}
"""Axes of one raw input -> name and type of the adapted graph's input: samples, or channels, height and width."""


def wrap(  # noqa: PLR0913 - what has to be known of a foreign file
    source: Path, *, image_shape: tuple[int, ...], classes: int, layout: Layout, scale: float, answers: Answers
) -> onnx.ModelProto:
    """Return the file's graph, taking an input of RAW and returning `logits_NK`; arguments as in `adopt`.

    Raises:
        ModelError: the file is not a complete ONNX file, or its input and output do not fit the arguments.
    """
    model = read_foreign(source)
    graph_in, graph_out = only_ends(model, source)
    check_shape(graph_in, _in_layout(image_shape, layout), source)
    between: Chain = [("Div", {"by": scale})] if scale != 1 else []
    between += [("Transpose", {"perm": [0, 2, 3, 1]})] if layout == "NHWC" and len(image_shape) > 1 else []
    prepend(model, graph_in, image_shape, between, source)
    append(model, graph_out, logarithm_of(answers), (OUTPUT, ("batch", classes)))
    return model


def logarithm_of(answers: Answers) -> Chain:
    """Return the operators that make logits of the source's outputs."""
    return [("Max", {"by": LEAST_PROBABILITY}), ("Log", {})] if answers == "probabilities" else []


def read_foreign(source: Path) -> onnx.ModelProto:
    """Read a file, with a prefix before the names of its tensors.

    Raises:
        ModelError: the file is not a complete ONNX file.
    """
    try:
        model = onnx.load(source, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        msg = f"{source.name} is not an ONNX file ({one_line(error)}); export the teacher again"
        raise ModelError(msg) from error
    if _elsewhere(model):
        msg = f"{source.name} keeps its weights in other files; save the teacher as one file"
        raise ModelError(msg)
    renamed: onnx.ModelProto = compose.add_prefix(model, "teacher/", rename_functions=False)
    return renamed


def _elsewhere(message: Any) -> bool:  # noqa: ANN401 - any part of a model
    """Tell whether a tensor or a context anywhere in a model (also in a branch or a constant) is in another file."""
    if isinstance(message, TensorProto):
        return bool(message.data_location == TensorProto.EXTERNAL)
    if isinstance(message, NodeProto) and message.op_type == "EPContext":
        return True
    inner = [value for field, value in message.ListFields() if field.type == field.TYPE_MESSAGE]
    parts = (part for value in inner for part in ([value] if isinstance(value, Message) else value))
    return any(_elsewhere(part) for part in parts)


def only_ends(model: onnx.ModelProto, source: Path) -> tuple[Any, Any]:
    """Return the only input and the only output.

    Raises:
        ModelError: there are several, or none.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    return _only("inputs", inputs, source), _only("outputs", list(model.graph.output), source)


def _only(kind: str, found: list[Any], source: Path) -> Any:  # noqa: ANN401 - onnx publishes no types
    if len(found) != 1:
        names = ", ".join(value.name.removeprefix("teacher/") for value in found)
        msg = f"{source.name} has {len(found)} {kind} ({names}); export the teacher with one"
        raise ModelError(msg)
    return found[0]


def _in_layout(image_shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    return image_shape if layout == "NCHW" or len(image_shape) == 1 else (*image_shape[1:], image_shape[0])


def check_shape(graph_in: Any, expected: tuple[int, ...], source: Path) -> None:  # noqa: ANN401 - onnx publishes no types
    """Expect an input to take the data's shape, in batches of any size.

    Raises:
        ModelError: it does not.
    """
    tensor = graph_in.type.tensor_type
    if not tensor.HasField("shape"):
        return
    batch, *sides = [dim.dim_value or None for dim in tensor.shape.dim] or [None]
    if len(sides) != len(expected) or any(side not in {None, size} for side, size in zip(sides, expected, strict=True)):
        what = "recordings" if len(expected) == 1 else "images"
        msg = f"{source.name} takes {what} {spelt(sides)} and the data gives {spelt(expected)}; mend layout or export"
        raise ModelError(msg)
    if batch is not None:
        msg = f"{source.name} takes batches of {batch} only; export the teacher with a batch of any size"
        raise ModelError(msg)


def prepend(
    model: onnx.ModelProto,
    graph_in: Any,  # noqa: ANN401 - onnx publishes no types
    image_shape: tuple[int, ...],
    between: Chain,
    source: Path,
) -> None:
    """Put an input of RAW and operators on floats before the source's input.

    Raises:
        ModelError: the source takes numbers that cannot hold pixels, or whole numbers and `between` divides.
    """
    kind = graph_in.type.tensor_type.elem_type
    if kind in NARROW:
        name = TensorProto.DataType.Name(kind).lower()
        msg = f"{source.name} takes {name}, which cannot hold pixels from 0 to 255; export it for uint8 or float32"
        raise ModelError(msg)
    divisors = [arguments["by"] for operator, arguments in between if operator == "Div"]
    if kind not in FLOATS and divisors:
        msg = f"{source.name} takes whole numbers, which cannot be divided by {divisors[0]:g}; set scale to 1"
        raise ModelError(msg)
    last: Chain = [("Cast", {"to": kind})] if kind != TensorProto.FLOAT else []
    name, raw = RAW[len(image_shape)]
    nodes = _chain(model, [TO_FLOAT, *between, *last], name, graph_in.name)
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])
    model.graph.input.remove(graph_in)
    model.graph.input.append(helper.make_tensor_value_info(name, raw, ["batch", *image_shape]))


def append(model: onnx.ModelProto, graph_out: Any, between: Chain, end: tuple[str, tuple[int | str, ...]]) -> None:  # noqa: ANN401 - as above
    """Put operators on floats and an output of a name and shape after the source's output."""
    name, shape = end
    model.graph.node.extend(_chain(model, [TO_FLOAT, *between], graph_out.name, name))
    model.graph.output.remove(graph_out)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _chain(model: onnx.ModelProto, chain: Chain, first: str, last: str) -> list[Any]:
    """Make the nodes of a chain of operators from `first` to `last`. `by` is a constant second input of an operator."""
    nodes, name = [], first
    for number, (operator, arguments) in enumerate(chain, start=1):
        inputs, target = [name], last if number == len(chain) else f"{first}/{number}"
        attributes = {key: value for key, value in arguments.items() if key != "by"}
        if "by" in arguments:
            inputs.append(f"{first}/{number}_by")
            by = arguments["by"]
            constant = np.array(by, np.int64) if isinstance(by, list) else np.array(by, np.float32)
            model.graph.initializer.append(numpy_helper.from_array(constant, inputs[-1]))
        nodes.append(helper.make_node(operator, inputs, [target], name=f"{target}_{operator}", **attributes))
        name = target
    return nodes


def spelt(shape: Any) -> str:  # noqa: ANN401 - ints, or None for any
    """Format a shape for messages."""
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"


def one_line(error: Exception) -> str:
    """Shorten the message of another library to one line."""
    return " ".join(str(error).split())[:300]
