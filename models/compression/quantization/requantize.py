"""Edit an integer model: its weights become floats for the step, and integers again after it."""

from collections.abc import Collection
from dataclasses import replace

from torch import nn

from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    dequantize,
    integer_edit,
    integer_weights,
    quantizable,
)
from stillhouse.models.training.checkpoint import Architecture


def dequantize_for_edit(module: nn.Module, architecture: Architecture) -> tuple[nn.Module, Architecture]:
    """Convert an integer model to floats, in place, so that a further step can change it. The model stays folded."""
    edits = tuple(edit for edit in architecture.edits if edit["edit"] != "integer_weights")
    return dequantize(module), replace(architecture, edits=edits, quantization=None)


def requantize(module: nn.Module, architecture: Architecture, before: Architecture) -> tuple[nn.Module, Architecture]:
    """Quantize a dequantized model again, in place, after the step that changed it.

    Args:
        module: the changed model, in floats.
        architecture: architecture of the changed model.
        before: the architecture given to `dequantize_for_edit`. A new layer inside an old layer, such as a factor of a
            low-rank layer, gets the bits of the old layer. If the bits were given layer by layer, all other new layers
            stay float.
    """
    bits = next(edit["bits"] for edit in before.edits if edit["edit"] == "integer_weights")
    if not isinstance(bits, int):
        bits = {name: bits[owner] for name in quantizable(module) if (owner := _owner(name, bits)) is not None}
    chosen = bits_by_layer(module, bits)
    edited = architecture.with_edits(integer_edit(module, chosen))
    kept = [name for name in quantizable(module) if name not in chosen]
    quantization = {**(before.quantization or {}), "keep_float": kept}
    return integer_weights(module, chosen), replace(edited, quantization=quantization)


def _owner(name: str, owners: Collection[str]) -> str | None:
    return next((owner for owner in owners if name == owner or name.startswith(f"{owner}.")), None)
