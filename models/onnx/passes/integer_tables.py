"""Tables with integer rows: the runtime's own operator reads the wanted rows and multiplies them by their scales.

A DequantizeLinear before the Gather would make the whole table float at every load, and need its memory.
"""

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from stillhouse.models.compression.quantization.rounding import Stored
from stillhouse.models.onnx.passes.few_bit_products import DOMAIN, pack, use_domain
from stillhouse.models.onnx.passes.integer_graph import Place, readers

BLOCKS = (128, 64, 32, 16)
"""Numbers that share a scale, as the operator allows. All blocks of a row have the row's scale here."""


def is_table(model: ModelProto, place: Place, width: int) -> bool:
    """Tell whether a weight is only a table whose rows are gathered, and its width fits the operator."""
    nodes = readers(model, place.initializer)
    gathered = all(node.op_type == "Gather" and node.input[0] == place.initializer for node in nodes)
    return gathered and any(width % block == 0 for block in BLOCKS)


def gather_integers(model: ModelProto, place: Place, stored: Stored) -> None:
    """Replace a float table by integers, in place. Integers of few bits take half a byte each."""
    rows_VD, name = stored.integers.numpy(), place.initializer
    bits = 4 if np.abs(rows_VD).max() < 8 else 8  # noqa: PLR2004 - of four bits, one is the sign's
    block = next(block for block in BLOCKS if rows_VD.shape[1] % block == 0)
    scales_VB = np.repeat(stored.scale_O.numpy()[:, None], rows_VD.shape[1] // block, axis=1)
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == name))
    model.graph.initializer.append(numpy_helper.from_array(pack(rows_VD, bits, block), f"{name}_rows"))
    model.graph.initializer.append(numpy_helper.from_array(scales_VB, f"{name}_scale"))
    for node in readers(model, name):
        _become(node, name, {"bits": bits, "block_size": block})
    use_domain(model)


def _become(node: NodeProto, name: str, sizes: dict[str, int]) -> None:
    inputs = [f"{name}_rows", node.input[1], f"{name}_scale"]
    axes = {"gather_axis": 0, "quantize_axis": 1}
    made = helper.make_node("GatherBlockQuantized", inputs, [*node.output], node.name, domain=DOMAIN, **axes, **sizes)
    node.CopyFrom(made)
