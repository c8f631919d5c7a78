"""Speed up a first convolution that cuts the image into patches (few channels, kernel size equal to the stride).

The runtime copies a patch pixel by pixel, three bytes at a time. With channels last, the pixels of one row of a patch
are one run of bytes. The rewrite treats these runs as channels, for a convolution of the same height and of width 1.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FEW = 4
"""Most channels for which the rewrite is used: a pixel of few channels is a short run."""
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def widen_patches(model: ModelProto) -> None:
    """Rewrite an integer convolution that cuts the raw image (N, C, H, W) into patches to read long runs, in place."""
    source = model.graph.input[0]
    nodes = [node for node in model.graph.node if source.name in node.input]
    if len(nodes) == 1 and nodes[0].op_type == "QLinearConv":
        sizes = [dimension.dim_value for dimension in source.type.tensor_type.shape.dim]
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == nodes[0].input[3])
        if _cuts_patches(nodes[0], sizes, [*weight.dims]):
            _widen(model, nodes[0], sizes, weight)


def _cuts_patches(node: NodeProto, sizes: list[int], weight_sizes: list[int]) -> bool:
    has = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = weight_sizes[2:]
    whole = all(size % side == 0 for size, side in zip(sizes[2:], kernel, strict=True))
    alone = not any(has.get("pads", [])) and has.get("group", 1) == 1 and max(has.get("dilations", [1])) == 1
    return whole and alone and [*has.get("strides", [])] == kernel and weight_sizes[1] <= FEW


def _widen(model: ModelProto, node: NodeProto, sizes: list[int], weight: TensorProto) -> None:
    weights_OCYX = numpy_helper.to_array(weight)
    outputs, channels, height, width = weights_OCYX.shape
    wide_OCY1 = weights_OCYX.transpose(0, 3, 1, 2).reshape(outputs, width * channels, height, 1)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(wide_OCY1), weight.name))
    shape = np.array([0, sizes[2], sizes[3] // width, width * channels], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(shape, "runs_shape"))
    place = [*model.graph.node].index(node)
    steps = [
        helper.make_node("Transpose", [node.input[0]], ["pixels_last"], perm=CHANNELS_LAST),
        helper.make_node("Reshape", ["pixels_last", "runs_shape"], ["runs_last"]),
        helper.make_node("Transpose", ["runs_last"], ["runs_first"], perm=CHANNELS_FIRST),
    ]
    for step in reversed(steps):
        model.graph.node.insert(place, step)
    node.input[0] = "runs_first"
    for attribute in node.attribute:
        if attribute.name in {"strides", "kernel_shape"}:
            attribute.ints[:] = [height, 1]
