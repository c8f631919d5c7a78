"""Keep the sum before a layer norm apart from it.

The runtime fuses an Add and a LayerNormalization to one operator that is slower than both. For 14 rows of 384 numbers,
in microseconds: fused 29, apart 5. It does not fuse a Sum, which adds the same numbers.
"""

from onnx import ModelProto


def keep_norms_apart(model: ModelProto) -> None:
    """Replace each Add before a layer norm by a Sum, in place."""
    normalised = {node.input[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    for node in model.graph.node:
        if node.op_type == "Add" and node.output[0] in normalised:
            node.op_type = "Sum"
