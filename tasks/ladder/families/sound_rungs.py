"""The rungs of an audio classifier: its own network in int8, with fewer blocks, then students of a plain network.

The activations of attention blocks are scaled at every call. With ranges that were calibrated once, a spectrogram
transformer of benchmarks/own_models/audio_case.py fell from 98.8 % to 41.3 %. A convolution over samples stays float
then, which is slow. So a speech model, which begins with such convolutions, is tried with calibrated ranges too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stillhouse.tasks.ladder.families.rungs import PACK, Rung, Steps

GENTLE, BRISK, STUDENT = 5e-5, 2e-4, 3e-3
"""Learning rates: of a network that only lives with rounding, of one that has lost blocks, of a new one."""
THIRD = 3
"""One of so many blocks is dropped."""
VIEWS = 4
"""Views of each recording for which a student's teacher is asked."""
BANDS, HOP = 40, 160
"""Bands of a student's filter bank, and samples from one of its frames to the next."""


DYNAMIC = {"activations": "dynamic"}


@dataclass(frozen=True)
class Sounds:
    """The data of a student."""

    classes: int
    examples: int
    """In the training split."""

    @property
    def batch(self) -> int:
        """Return a batch size that gives an epoch some steps."""
        return max(8, min(64, self.examples // 40))


def rungs_for_sound(sounds: Sounds, blocks: int, *, listens: bool) -> Sequence[Rung]:
    """List the rungs of an audio classifier whose network can be changed in place.

    Args:
        sounds: the data.
        blocks: number of its blocks that can be dropped; 0 if none can.
        listens: it begins with convolutions over samples.
    """
    calibrated = Rung("int8_calibrated", "int8, calibrated", lambda _: [{"method": "quantize"}], trained=False)
    return (
        Rung("int8", "int8, scaled at every call", lambda _: [{"method": "quantize", **DYNAMIC}], trained=False),
        *([calibrated] if listens else []),
        Rung("int8_trained", "int8 with training, packed", lambda epochs: [_quantize_blocks(sounds, epochs), PACK]),
        *([_shallower(sounds, blocks)] if blocks >= THIRD else []),
        *students(sounds),
    )


def rungs_for_sound_file(sounds: Sounds) -> Sequence[Rung]:
    """List the rungs of an audio classifier that is known only as an ONNX file."""
    words, steps = "the file itself in int8, calibrated", [{"method": "quantize"}]
    calibrated = Rung("int8", words, lambda _: steps, trained=False, form="file")
    return (calibrated, *students(sounds))


def students(sounds: Sounds) -> Sequence[Rung]:
    """List students, the largest first. Each learns from the teacher, then its int8 weights are trained."""
    return (
        _student("plain_student", "a plain student", (32, 64, 96, 128), sounds),
        _student("small_student", "a small plain student", (16, 32, 48, 64), sounds),
    )


def _shallower(sounds: Sounds, blocks: int) -> Rung:
    count = blocks // THIRD

    def steps(epochs: int) -> Steps:
        dropped = {"method": "drop_layers", "layers": count, "finetune": _learn(sounds, epochs, BRISK, 1)}
        return [dropped, _quantize_blocks(sounds, max(1, epochs // 3)), PACK]

    return Rung(f"minus_{count}_blocks", f"{count} of {blocks} blocks fewer, then int8 with training, packed", steps)


def _student(name: str, words: str, widths: tuple[int, ...], sounds: Sounds) -> Rung:
    return Rung(name, f"{words} on a filter bank, int8 with training", partial(_steps, widths, sounds), form="named")


def _steps(widths: tuple[int, ...], sounds: Sounds, epochs: int) -> Steps:
    arguments = {
        "bands": BANDS,
        "hop": HOP,
        "widths": list(widths),
        "strides": [2] * len(widths),
        "classes": sounds.classes,
    }
    network = {"name": "plain_sound", "arguments": arguments}
    learned = {"method": "distil", "network": network, "distillation": _learn(sounds, epochs, STUDENT, VIEWS)}
    return [learned, _quantize(sounds, max(1, epochs // 3), STUDENT / 10)]


def _quantize(sounds: Sounds, epochs: int, rate: float) -> dict[str, Any]:
    return {"method": "quantize", "distillation": _learn(sounds, epochs, rate, 1)}


def _quantize_blocks(sounds: Sounds, epochs: int) -> dict[str, Any]:
    return _quantize(sounds, epochs, GENTLE) | DYNAMIC


def _learn(sounds: Sounds, epochs: int, rate: float, views: int) -> dict[str, Any]:
    training = {"epochs": epochs, "batch_size": sounds.batch, "learning_rate": rate, "optimizer": "adamw"}
    return {
        "training": training | {"warmup": 0.1},
        "temperature": 2,
        "hard_weight": 0.1,
        "augmented_views": views,
    }
