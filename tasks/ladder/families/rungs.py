"""The rungs of the ladder for each kind of model: which steps a recipe takes, from the mildest to the strongest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.tasks.targets.source import Form

Steps = list[dict[str, Any]]
PACK = {"method": "pack"}
GENTLE, BRISK = 2e-5, 1e-4
"""Learning rates for a network that only lives with rounding, and for one that has lost blocks.

At 1e-4 the step sizes of the rounding, which are about 3e-3, are shaken so much that the training gains nothing.
"""


@dataclass(frozen=True)
class Rung:
    """One way to compress a model."""

    name: str
    """Short name in tables and file names."""
    words: str
    steps: Callable[[int], Steps]
    """Epochs of the longest training -> the steps of a recipe."""
    trained: bool = True
    """Whether a step trains, so that the time depends on the epochs."""
    form: Form = "adopted"
    """Of what the student is made. Not every target takes every form."""


def rungs_for_text(depth: int) -> Sequence[Rung]:
    """List the rungs of a text encoder.

    Args:
        depth: number of its blocks.
    """
    few, many = max(1, depth // 6), max(2, depth // 3)
    return (
        Rung("int8", "int8, calibrated", lambda _: [_quantize()], trained=False),
        Rung(
            "int8_trained",
            "int8 with training, tables in 6 bits, packed",
            lambda e: [_trained(e, "int8", "int6"), PACK],
        ),
        Rung(
            "few_bits", "6 bits with training, tables in 5 bits, packed", lambda e: [_trained(e, "int6", "int5"), PACK]
        ),
        *(_shallower(depth, count) for count in (few, many) if count < depth),
    )


def _shallower(depth: int, count: int) -> Rung:
    return Rung(
        f"minus_{count}_blocks",
        f"{count} of {depth} blocks fewer, then int8 with training, tables in 6 bits, packed",
        lambda epochs: [_drop(count, epochs), _trained(epochs, "int8", "int6"), PACK],
    )


def _quantize() -> dict[str, Any]:
    return {"method": "quantize"}


def _trained(epochs: int, weights: str, tables: str) -> dict[str, Any]:
    return {"method": "quantize", "weights": weights, "tables": tables, "distillation": _learn(epochs, GENTLE)}


def _drop(layers: int, epochs: int) -> dict[str, Any]:
    return {"method": "drop_layers", "layers": layers, "finetune": _learn(epochs, BRISK)}


def _learn(epochs: int, rate: float) -> dict[str, Any]:
    training = {"epochs": epochs, "batch_size": 64, "learning_rate": rate, "optimizer": "adamw", "warmup": 0.1}
    return {"kind": "embedding", "temperature": 4.0, "hard_weight": 0.0, "cosine_weight": 30.0, "training": training}
