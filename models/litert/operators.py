"""Operators of an exported student in TensorFlow. Images are NHWC here, for LiteRT, and NCHW in the ONNX file.

Only operators that our image networks export are here. Another one is refused by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped] # TensorFlow's environment has it

from stillhouse.models.errors import ModelError

IMAGE = 4
"""Axes of a batch of images."""
Tensor = Any
Attributes = Mapping[str, Any]


def convolve(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    """Convolve; the groups are one, or as many as there are channels."""
    image_NHWC, weight, *bias = inputs
    kernel_HWIO = np.transpose(weight, (2, 3, 1, 0))
    strides, groups = [1, *attributes.get("strides", (1, 1)), 1], attributes.get("group", 1)
    dilations = list(attributes.get("dilations", (1, 1)))
    image_NHWC, padding = _pad(image_NHWC, attributes, kernel_HWIO.shape[:2])
    if groups == 1:
        found = tf.nn.conv2d(image_NHWC, kernel_HWIO, strides, padding, dilations=dilations)
    elif groups == image_NHWC.shape[-1]:
        height, width, _, channels = kernel_HWIO.shape
        kernel = kernel_HWIO.reshape(height, width, groups, channels // groups)
        found = tf.nn.depthwise_conv2d(image_NHWC, kernel, strides, padding, dilations=dilations)
    else:
        msg = f"a convolution with {groups} groups has no LiteRT form here; use one group, or one for each channel"
        raise ModelError(msg)
    return tf.nn.bias_add(found, bias[0]) if bias else found


def average(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    """Average over windows."""
    return _pool(tf.nn.avg_pool2d, inputs[0], attributes)


def maximum(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    """Take the maximum of windows."""
    return _pool(tf.nn.max_pool2d, inputs[0], attributes)


def mean_of_image(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    """Average over height and width."""
    axes = attributes.get("axes", inputs[1] if len(inputs) > 1 else (2, 3))
    if sorted(int(axis) % IMAGE for axis in np.ravel(axes)) != [2, 3]:
        msg = f"a mean over the axes {list(np.ravel(axes))} has no LiteRT form here; average over height and width"
        raise ModelError(msg)
    return tf.reduce_mean(inputs[0], (1, 2), keepdims=True)


def flatten(inputs: Sequence[Tensor], _attributes: Attributes) -> Tensor:
    """Make one row of each image, in the order of the ONNX file: channel, row, column."""
    value = inputs[0]
    if len(value.shape) == IMAGE and value.shape[1:3] != (1, 1):
        value = tf.transpose(value, (0, 3, 1, 2))
    return tf.reshape(value, (-1, int(np.prod(value.shape[1:]))))


def multiply_matrix(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    """Multiply by a matrix and add a bias."""
    value, weight, *bias = inputs
    if attributes.get("transA", 0) or attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1:
        msg = "a Gemm with a factor or a transposed input has no LiteRT form here; use nn.Linear"
        raise ModelError(msg)
    found = tf.matmul(value, np.transpose(weight) if attributes.get("transB", 0) else weight)
    return tf.nn.bias_add(found, bias[0]) if bias else found


def _pad(image_NHWC: Tensor, attributes: Attributes, kernel: Sequence[int]) -> tuple[Tensor, str]:
    """Return the image and TensorFlow's word for the padding. Stride and even sides may need explicit zeros."""
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if not any((top, left, bottom, right)):
        return image_NHWC, "VALID"
    strides = attributes.get("strides", (1, 1))
    if (
        tuple(strides) == (1, 1)
        and all(2 * each + 1 == side for each, side in zip((top, left), kernel, strict=True))
        and (top, left) == (bottom, right)
    ):
        return image_NHWC, "SAME"
    return tf.pad(image_NHWC, ((0, 0), (top, bottom), (left, right), (0, 0))), "VALID"


def _pool(pool: Callable[..., Tensor], image_NHWC: Tensor, attributes: Attributes) -> Tensor:
    if any(attributes.get("pads", ())) or attributes.get("ceil_mode", 0):
        msg = "a pooling with padding has no LiteRT form here; pool without padding"
        raise ModelError(msg)
    kernel = list(attributes["kernel_shape"])
    return pool(image_NHWC, kernel, list(attributes.get("strides", (1, 1))), "VALID")


def same_shape(operator: Callable[..., Tensor]) -> Callable[[Sequence[Tensor], Attributes], Tensor]:
    """Adapt an operator that needs no attributes."""

    def apply(inputs: Sequence[Tensor], _attributes: Attributes) -> Tensor:
        return operator(*inputs)

    return apply


OPERATORS: dict[str, Callable[[Sequence[Tensor], Attributes], Tensor]] = {
    "Add": same_shape(tf.add),
    "AveragePool": average,
    "Conv": convolve,
    "Flatten": flatten,
    "Gemm": multiply_matrix,
    "GlobalAveragePool": mean_of_image,
    "MaxPool": maximum,
    "ReduceMean": mean_of_image,
    "Relu": same_shape(tf.nn.relu),
    "Reshape": flatten,
}
"""Operator of ONNX -> its form here. A Reshape of our networks makes rows."""
