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
    regains: str | None = None
    """Name of an earlier rung of the same bytes and time. This one only regains the quality that the other lost."""
    form: Form = "adopted"
    """Of what the student is made. Not every target takes every form."""


Learn = Callable[[int, float], dict[str, Any]]
"""Epochs and learning rate -> the section of a distillation."""


def rungs_for_text(depth: int, learn: Learn) -> Sequence[Rung]:
    """List the rungs of a BERT-like model of texts.

    Args:
        depth: number of its blocks.
        learn: how a student learns from it.
    """
    few, many = max(1, depth // 6), max(2, depth // 3)
    return (
        Rung("int8", "int8, calibrated", lambda _: [{"method": "quantize"}], trained=False),
        _trained("int8_trained", "int8 with training, tables in 6 bits, packed", learn, "int8", "int6"),
        _trained("few_bits", "6 bits with training, tables in 5 bits, packed", learn, "int6", "int5"),
        *(_shallower(depth, count, learn) for count in (few, many) if count < depth),
    )


def learn_vectors(epochs: int, rate: float) -> dict[str, Any]:
    """Learn the teacher's vectors, and its similarities to other texts."""
    kind = {"kind": "embedding", "temperature": 4.0, "hard_weight": 0.0, "cosine_weight": 30.0}
    return kind | {"training": _training(epochs, rate, 64)}


def learn_classes(examples: int) -> Learn:
    """Learn the teacher's class probabilities, and the labels a little.

    Args:
        examples: texts in the training split. Few of them want small batches.
    """
    batch = max(8, min(64, examples // 40))
    return lambda epochs, rate: {
        "kind": "logits",
        "temperature": 2.0,
        "hard_weight": 0.1,
        "training": _training(epochs, rate, batch),
    }


def _trained(name: str, words: str, learn: Learn, weights: str, tables: str) -> Rung:
    return Rung(name, words, lambda epochs: [_quantize(weights, tables, learn(epochs, GENTLE)), PACK])


def _shallower(depth: int, count: int, learn: Learn) -> Rung:
    def steps(epochs: int) -> Steps:
        drop = {"method": "drop_layers", "layers": count, "finetune": learn(epochs, BRISK)}
        return [drop, _quantize("int8", "int6", learn(epochs, GENTLE)), PACK]

    words = f"{count} of {depth} blocks fewer, then int8 with training, tables in 6 bits, packed"
    return Rung(f"minus_{count}_blocks", words, steps)


def _quantize(weights: str, tables: str, distillation: dict[str, Any]) -> dict[str, Any]:
    return {"method": "quantize", "weights": weights, "tables": tables, "distillation": distillation}


def _training(epochs: int, rate: float, batch: int) -> dict[str, Any]:
    return {"epochs": epochs, "batch_size": batch, "learning_rate": rate, "optimizer": "adamw", "warmup": 0.1}
