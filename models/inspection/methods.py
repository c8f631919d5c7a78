"""Which compression methods apply to a model, and why another does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from stillhouse.models.inspection.components import Component
from stillhouse.models.inspection.layers import Layer
from stillhouse.models.inspection.source import GRAPHS, Source

NARROW = 64
"""A linear layer with fewer inputs or outputs gains nothing from a low rank."""
LEADING = "wavlm"
"""Type of model whose first block gives the others more than its output."""
IN_TORCH = ("transformers",)
"""Formats whose network is built again in torch, so that it can be changed in place.

A timm model is not: timm builds it in a process of its own, where it becomes an ONNX file.
"""


@dataclass(frozen=True)
class Applies:
    """Whether a method applies to this model."""

    method: str
    applies: bool
    reason: str


def methods_for(source: Source, layers: Sequence[Layer], components: Sequence[Component]) -> list[Applies]:
    """Judge every method of a recipe for a model."""
    matrices = [layer for layer in layers if layer.kind in {"linear", "convolution", "embedding"}]
    products = [layer for layer in matrices if layer.kind != "embedding"]
    return [
        _quantize(layers, matrices),
        _in_place("prune_structured", source, f"{len(products)} layers have channels that can be removed"),
        _drop_layers(source, components),
        _low_rank(source, products),
        _fold(source, layers),
        Applies("distil", applies=True, reason="a smaller network learns the model's outputs on your data"),
        Applies("pack", applies=True, reason="the file is compressed, and unpacked once when it is loaded"),
    ]


def _quantize(layers: Sequence[Layer], matrices: Sequence[Layer]) -> Applies:
    whole, weights = sum(layer.bytes for layer in layers), sum(layer.bytes for layer in matrices)
    if not matrices:
        stored = any(not layer.is_float and len(layer.shape) > 1 for layer in layers)
        reason = "the weights are integers already" if stored else "no layer has a weight matrix"
        return Applies("quantize", applies=False, reason=reason)
    left = whole - sum(layer.bytes - layer.parameters for layer in matrices)
    reason = (
        f"{weights / whole:.0%} of the bytes are weight matrices; in int8 the file has {left / whole:.0%} of its bytes"
    )
    return Applies("quantize", applies=True, reason=reason)


def _in_place(method: str, source: Source, reason: str) -> Applies:
    if source.format in IN_TORCH:
        return Applies(method, applies=True, reason=reason)
    blocked = f"{source.format} cannot be trained in place here; export it to ONNX, and distil a student from that"
    if source.format in GRAPHS.values():
        article = "an" if source.format == "onnx" else "a"
        blocked = f"{article} {source.format} file cannot be trained in place; distil a student from it"
    return Applies(method, applies=False, reason=blocked)


def _drop_layers(source: Source, components: Sequence[Component]) -> Applies:
    stacks = [f"{part.name} has {part.blocks} blocks of one form" for part in components if part.blocks]
    if not stacks:
        return Applies("drop_layers", applies=False, reason="no two blocks have the same form")
    if source.config.get("model_type") == LEADING:
        return Applies("drop_layers", applies=False, reason="the first block computes the places for all others")
    return _in_place("drop_layers", source, ", ".join(stacks))


def _low_rank(source: Source, products: Sequence[Layer]) -> Applies:
    wide = [layer for layer in products if min(layer.shape[:2]) >= NARROW]
    if not wide:
        return Applies("low_rank", applies=False, reason=f"no layer has {NARROW} inputs and outputs")
    return _in_place("low_rank", source, f"{len(wide)} layers have at least {NARROW} inputs and outputs")


def _fold(source: Source, layers: Sequence[Layer]) -> Applies:
    if source.format in {"keras", "tensorflow"}:
        return _in_place("fold", source, "")
    norms = [layer for layer in layers if layer.name.endswith("running_mean")]
    if not norms:
        return Applies("fold", applies=False, reason="the model has no batch norm")
    return Applies("fold", applies=True, reason=f"{len(norms)} batch norms can be folded into their neighbours")
