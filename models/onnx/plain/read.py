"""Write a shipped ONNX file with plain operators, for runtimes that do not know ONNX Runtime's own.

The integers and their scales stay. Activations with calibrated scales stay integers too, as pairs of QuantizeLinear
and DequantizeLinear. A packed file is unpacked.
"""

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import unpack
from stillhouse.models.onnx.passes.few_bit_products import DOMAIN
from stillhouse.models.onnx.plain.integer_weights import dequantize_weights
from stillhouse.models.onnx.plain.quantize_pairs import spell_out_integers


def read_plain(shipped: Path) -> ModelProto:
    """Read a shipped file and return its plain form.

    Raises:
        ModelError: the file is damaged, or an operator has no plain form here. The message names it.
    """
    model = onnx.load_from_string(unpack(shipped))
    spell_out_integers(model)
    model = dequantize_weights(model)
    own = sorted({node.op_type for node in model.graph.node if node.domain == DOMAIN})
    if own:
        msg = (
            f"{shipped.name} has ONNX Runtime's own operators without a plain form here ({', '.join(own)}); keep it in "
            "ONNX Runtime, or leave out quantize in the recipe"
        )
        raise ModelError(msg)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def expect_narrow_integers(model: ModelProto, runtime: str) -> None:
    """Expect a graph to compute with integers of 32 bits at most. The hashing of texts does not.

    Raises:
        ModelError: it hashes.
    """
    wide = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT64}
    if any(node.op_type == "Mod" and wide & {*node.input} for node in model.graph.node):
        msg = (
            f"the model hashes texts with integers of 64 bits, and {runtime} computes with 32 (its answers would be "
            "wrong); keep this component in ONNX Runtime, or train a text_embedding model, which has a tokenizer"
        )
        raise ModelError(msg)
