"""The rungs of an image classifier: its own file in int8, then students of named networks, each smaller than before."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from stillhouse.tasks.ladder.families.rungs import Rung, Steps

SMALLEST_MAP = 4
"""Convolutions halve the picture until its side is about this."""
HALF = 0.5
"""Share of the multiply-accumulates that is left."""
VIEWS = 4
"""Views of each picture for which the teacher is asked."""


@dataclass(frozen=True)
class Pictures:
    """The data of a student."""

    channels: int
    side: int
    """Of the smaller side."""
    classes: int
    examples: int
    """In the training split."""


def rungs_for_file(pictures: Pictures) -> Sequence[Rung]:
    """List the rungs of a classifier that is known only as an ONNX file."""
    words, steps = "the file itself in int8, calibrated", [{"method": "quantize"}]
    calibrated = Rung("int8", words, lambda _: steps, trained=False, form="file")
    return (calibrated, *students(pictures))


def rungs_for_module(pictures: Pictures) -> Sequence[Rung]:
    """List the rungs of a classifier whose network can be changed in place."""

    def tune(epochs: int) -> dict[str, Any]:
        return {"method": "quantize", "distillation": _tune(pictures, epochs)}

    def prune(epochs: int) -> dict[str, Any]:
        return {"method": "prune_structured", "macs": HALF, "finetune": _tune(pictures, epochs)}

    def halve(epochs: int) -> Steps:
        return [prune(epochs), tune(max(1, epochs // 3))]

    return (
        Rung("int8", "int8, calibrated", lambda _: [{"method": "quantize"}], trained=False),
        Rung("int8_trained", "int8 with training", lambda epochs: [tune(epochs)], regains="int8"),
        Rung("half", "half of the multiply-accumulates pruned, int8 with training", halve),
        *students(pictures),
    )


def students(pictures: Pictures) -> Sequence[Rung]:
    """List students, the largest first. Each learns from the teacher, then its int8 weights are trained."""
    return (
        _student("residual_student", "a residual student", _residual(pictures, 32), pictures),
        _student("plain_student", "a plain student", _plain(pictures, (32, 64, 96, 128)), pictures),
        _student("small_student", "a small plain student", _plain(pictures, (24, 32, 48, 64)), pictures),
    )


def _student(name: str, words: str, network: dict[str, Any], pictures: Pictures) -> Rung:
    return Rung(name, f"{words}, int8 with training", partial(_steps, network, pictures), form="named")


def _steps(network: dict[str, Any], pictures: Pictures, epochs: int) -> Steps:
    batch = max(8, min(250, pictures.examples // 40))
    rate = 0.2 * batch / 250
    tuned = {"method": "quantize", "distillation": _learn(max(1, epochs // 3), batch, rate / 10)}
    return [{"method": "distil", "network": network, "distillation": _learn(epochs, batch, rate)}, tuned]


def _tune(pictures: Pictures, epochs: int) -> dict[str, Any]:
    """Train a network that is good already."""
    batch = max(8, min(128, pictures.examples // 40))
    training = {"epochs": epochs, "batch_size": batch, "learning_rate": 3e-4, "optimizer": "adamw", "warmup": 0.1}
    return {"training": training, "temperature": 2, "hard_weight": 0.1, "augmented_views": 2}


def _learn(epochs: int, batch: int, rate: float) -> dict[str, Any]:
    training = {"epochs": epochs, "batch_size": batch, "learning_rate": rate, "weight_decay": 0.0001}
    return {"training": training, "temperature": 2, "hard_weight": 0.1, "augmented_views": VIEWS}


def _residual(pictures: Pictures, stem: int) -> dict[str, Any]:
    halvings = _halvings(pictures)
    widths = [min(stem * 2**place, 256) for place in range(max(2, halvings))]
    strides = [1, *[2] * (len(widths) - 1)]
    arguments = {"stem": stem, "widths": widths, "strides": strides, "classes": pictures.classes}
    return {"name": "residual", "arguments": arguments | {"channels": pictures.channels}}


def _plain(pictures: Pictures, widths: tuple[int, ...]) -> dict[str, Any]:
    halvings = min(len(widths), _halvings(pictures))
    strides = [2] * halvings + [1] * (len(widths) - halvings)
    side = pictures.side
    for stride in strides:
        side = ceil(side / stride)
    arguments = {"widths": list(widths), "strides": strides, "pool": side, "classes": pictures.classes}
    return {"name": "plain", "arguments": arguments | {"channels": pictures.channels}}


def _halvings(pictures: Pictures) -> int:
    """Return how often a picture is halved."""
    count, side = 0, pictures.side
    while side > SMALLEST_MAP:
        count, side = count + 1, ceil(side / 2)
    return max(1, count)
