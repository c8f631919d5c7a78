"""The rungs of a recogniser of text lines: its own file in int8, then students of plain convolutions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from stillhouse.tasks.ladder.families.rungs import Rung, Steps

RATE = 0.05
"""Learning rate of a new network. Its int8 weights are trained with a fifth of it."""
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
        _student("deep_student", "a deep plain student", lines, (32, 64, 128, 192), deep=2),
        _student("plain_student", "a plain student", lines, (32, 64, 96, 160)),
        _student("small_student", "a small plain student", lines, (24, 40, 64, 96)),
    )


def network_of(lines: LineData, widths: Sequence[int], deep: int = 1) -> dict[str, Any]:
    """Return a network with at least as many frames as the teacher.

    Args:
        lines: the data.
        widths: channels after each halving of the height.
        deep: convolutions of each width, of which the first halves.
    """
    pixels, across = lines.width / lines.frames, [1] * HALVINGS
    for place in range(HALVINGS):
        if 2 ** (place + 1) <= pixels:
            across[place] = 2
    rows = lines.height
    for _ in range(HALVINGS):
        rows = ceil(rows / 2)
    stays = [1] * (deep - 1)
    arguments = {
        "widths": [width for width in widths for _ in range(deep)],
        "down": [2, *stays] * HALVINGS,
        "across": [stride for each in across for stride in (each, *stays)],
        "rows": rows,
        "context": [widths[-1]] * CONTEXTS,
        "kernel": KERNEL,
        "channels": lines.channels,
    }
    return {"name": "line_reader", "arguments": arguments}


def _student(name: str, words: str, lines: LineData, widths: Sequence[int], deep: int = 1) -> Rung:
    network = network_of(lines, widths, deep)
    return Rung(name, f"{words}, int8 with training", partial(_steps, network, lines), form="named")


def _steps(network: dict[str, Any], lines: LineData, epochs: int) -> Steps:
    learned = {"method": "distil", "network": network, "distillation": _learn(lines, epochs, RATE)}
    tuned = {"method": "quantize", "distillation": _learn(lines, max(1, epochs // 3), RATE / 5)}
    return [learned, tuned]


def _learn(lines: LineData, epochs: int, rate: float) -> dict[str, Any]:
    batch = max(8, min(32, lines.examples // 40))
    training = {"epochs": epochs, "batch_size": batch, "learning_rate": rate, "optimizer": "muon_adamw", "warmup": 0.1}
    return {"kind": "frames", "training": training, "augmented_views": VIEWS, "settings": {"hard_weight": 0.1}}
