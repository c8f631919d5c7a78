"""The rungs of the ladder for each kind of model: which steps a recipe takes, from the mildest to the strongest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Steps = list[dict[str, Any]]
PACK = {"method": "pack"}


@dataclass(frozen=True)
class Rung:
    """One way to compress a model."""

    name: str
    """Short name in tables and file names."""
    words: str
    steps: Callable[[int], Steps]
    """Epochs of each training -> the steps of a recipe."""
    trained: bool = True
    """Whether a step trains, so that the time depends on the epochs."""


def rungs_for_text(depth: int) -> Sequence[Rung]:
    """List the rungs of a text encoder.

    Args:
        depth: number of its blocks.
    """
    few, many = max(1, depth // 6), max(2, depth // 3)
    return (
        Rung("int8", "int8, calibrated", lambda _: [_quantize()], trained=False),
        Rung("int8_trained", "int8 with training, packed", lambda epochs: [_trained(epochs), PACK]),
        Rung("few_bits", "int8 with training, tables in 4 bits, packed", lambda epochs: [_few_bits(epochs), PACK]),
        *(_shallower(depth, count) for count in (few, many) if count < depth),
    )


def _shallower(depth: int, count: int) -> Rung:
    return Rung(
        f"minus_{count}_blocks",
        f"{count} of {depth} blocks fewer, then int8 with training, tables in 4 bits, packed",
        lambda epochs: [_drop(count, epochs), _few_bits(epochs), PACK],
    )


def _quantize() -> dict[str, Any]:
    return {"method": "quantize"}


def _trained(epochs: int) -> dict[str, Any]:
    return {"method": "quantize", "distillation": _learn(epochs)}


def _few_bits(epochs: int) -> dict[str, Any]:
    return {"method": "quantize", "tables": "int4", "distillation": _learn(epochs)}


def _drop(layers: int, epochs: int) -> dict[str, Any]:
    return {"method": "drop_layers", "layers": layers, "finetune": _learn(epochs)}


def _learn(epochs: int) -> dict[str, Any]:
    training = {"epochs": epochs, "batch_size": 64, "learning_rate": 1e-4, "optimizer": "adamw", "warmup": 0.1}
    return {"kind": "embedding", "temperature": 1.0, "hard_weight": 0.0, "cosine_weight": 30.0, "training": training}
