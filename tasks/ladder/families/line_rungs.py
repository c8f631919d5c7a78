"""The rungs of a recogniser of text lines: its own file in int8, then students of plain convolutions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from stillhouse.tasks.ladder.families.rungs import Rung, Steps

RATE = 2e-3
"""Learning rate of a new network. Its int8 weights are trained with a tenth of it."""
VIEWS = 2
"""Views of each line for which the teacher is asked."""
HALVINGS = 4
"""Convolutions that halve the height of a line."""
KERNEL, CONTEXTS = 5, 4
"""Frames that a convolution over frames sees, and the number of these convolutions."""


@dataclass(frozen=True)
class LineData:
    """The data of a student."""

    channels: int
    height: int
    width: int
    frames: int
    """Frames in which the teacher answers."""
    examples: int
    """In the training split."""


def rungs_for_lines(lines: LineData) -> Sequence[Rung]:
    """List the rungs of a recogniser that is known only as an ONNX file."""
    words, steps = "the file itself in int8, calibrated", [{"method": "quantize"}]
    return (
        Rung("int8", words, lambda _: steps, trained=False, form="file"),
        _student("plain_student", "a plain student", (32, 64, 96, 160), lines),
        _student("small_student", "a small plain student", (24, 40, 64, 96), lines),
    )


def network_of(lines: LineData, widths: Sequence[int]) -> dict[str, Any]:
    """Return a network with at least as many frames as the teacher.

    Args:
        lines: the data.
        widths: channels of the convolutions, of which each halves the height.
    """
    pixels, across = lines.width / lines.frames, [1] * HALVINGS
    for place in range(HALVINGS):
        if 2 ** (place + 1) <= pixels:
            across[place] = 2
    rows = lines.height
    for _ in range(HALVINGS):
        rows = ceil(rows / 2)
    arguments = {
        "widths": list(widths),
        "down": [2] * HALVINGS,
        "across": across,
        "rows": rows,
        "context": [widths[-1]] * CONTEXTS,
        "kernel": KERNEL,
        "channels": lines.channels,
    }
    return {"name": "line_reader", "arguments": arguments}


def _student(name: str, words: str, widths: tuple[int, ...], lines: LineData) -> Rung:
    return Rung(name, f"{words}, int8 with training", partial(_steps, widths, lines), form="named")


def _steps(widths: tuple[int, ...], lines: LineData, epochs: int) -> Steps:
    learned = {"method": "distil", "network": network_of(lines, widths), "distillation": _learn(lines, epochs, RATE)}
    tuned = {"method": "quantize", "distillation": _learn(lines, max(1, epochs // 3), RATE / 10)}
    return [learned, tuned]


def _learn(lines: LineData, epochs: int, rate: float) -> dict[str, Any]:
    batch = max(8, min(64, lines.examples // 40))
    training = {"epochs": epochs, "batch_size": batch, "learning_rate": rate, "optimizer": "adamw", "warmup": 0.1}
    return {"kind": "frames", "training": training, "augmented_views": VIEWS, "settings": {"hard_weight": 0.1}}
