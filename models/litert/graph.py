"""Build an exported fp32 student as a TensorFlow function of images (N, H, W, C).

The student's own division of raw pixels goes into its first convolution. So the integer file has no operator for it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stillhouse.models.errors import ModelError
from stillhouse.models.litert.operators import OPERATORS

Values = dict[str, Any]
Attributes = Mapping[str, Any]


def read_student(path: Path) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Read a student's fp32 file. Returns it with the shape (H, W, C) of its images.

    Raises:
        ModelError: the file is no fp32 student of images.
    """
    model = onnx.load(path)
    shape = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim][1:]
    unknown = sorted({node.op_type for node in model.graph.node} - {*OPERATORS, "Cast", "Div", "Identity"})
    if len(shape) != 3 or len(model.graph.input) != 1:  # noqa: PLR2004 - channels, height, width
        msg = f"{path.name} takes no images; LiteRT files are made of image classifiers only"
        raise ModelError(msg)
    if unknown:
        msg = (
            f"{path.name} has operators without a LiteRT form here ({', '.join(unknown)}); use a plain or residual one"
        )
        raise ModelError(msg)
    return model, (shape[1], shape[2], shape[0])


def function_of(model: onnx.ModelProto) -> Callable[[Any], Any]:
    """Return the function from raw images (N, H, W, C), float32, to logits (N, K)."""

    def run(images_NHWC: Any) -> Any:  # noqa: ANN401 - a tensor of TensorFlow
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        values: Values = {model.graph.input[0].name: images_NHWC}
        divisors = _divisors(model, weights)
        for node in model.graph.node:
            inputs = [weights[name] if name in weights else values[name] for name in node.input]
            if node.op_type in {"Cast", "Identity"} or node.output[0] in divisors:
                values[node.output[0]] = inputs[0]
                continue
            if node.input[0] in divisors:
                inputs[1] = inputs[1] / divisors[node.input[0]]
            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type](inputs, attributes)
        return values[model.graph.output[0].name]

    return run


def _divisors(model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Map the output of each division by one number to that number; only a convolution may take it.

    Raises:
        ModelError: another division.
    """
    uses = Counter(name for node in model.graph.node for name in node.input)
    takers = {node.input[0]: node.op_type for node in model.graph.node}
    found = {}
    for node in (node for node in model.graph.node if node.op_type == "Div"):
        divisor, out = weights.get(node.input[1], np.zeros(2)), node.output[0]
        if divisor.size != 1 or uses[out] != 1 or takers.get(out) != "Conv":
            msg = f"the division {node.name or out} has no LiteRT form here; divide raw pixels by one number"
            raise ModelError(msg)
        found[out] = divisor
    return found
