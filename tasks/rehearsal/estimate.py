"""Estimate the time and the memory of a night from its rehearsal."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.tasks.data.format.layout import content_bytes, is_spoken, is_transcribed
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.recipe.steps import distillation_of
from stillhouse.tasks.rehearsal.rehearse import Rehearsed

RECORDING_BYTES = 4 * 16_000 * 2
"""Bytes of one recording in memory: four seconds of 16-bit samples at 16 kHz."""


@dataclass(frozen=True)
class Estimate:
    """What a night needs on this machine, if nothing else runs."""

    minutes: float
    bytes: float
    """Resident memory at its peak."""


def estimate(
    recipe: Recipe,
    rehearsed: Iterable[Rehearsed],
    described: Mapping[str, Any],
    excerpt: Mapping[str, Any],
    peak: float,
) -> Estimate:
    """Scale the seconds of each epoch with the rows, and the memory with rows and views.

    Args:
        recipe: the whole recipe.
        rehearsed: its rehearsed stages.
        described: dataset.json of the whole data.
        excerpt: dataset.json of the excerpt.
        peak: resident bytes at the rehearsal's peak.
    """
    rows, few = (each["splits"]["train"]["count"] for each in (described, excerpt))
    epochs = epochs_of(recipe)
    seconds = sum(_seconds(stage, epochs.get(stage.stage, 0), rows / max(few, 1)) for stage in rehearsed)
    heard = is_spoken(described) or is_transcribed(described)
    one = RECORDING_BYTES if heard else content_bytes(described)
    return Estimate(seconds / 60, peak + rows * one * most_views(recipe))


def _seconds(stage: Rehearsed, epochs: int, growth: float) -> float:
    if len(stage.epoch_ends) < 2:  # noqa: PLR2004 - the first epoch also loads
        return stage.seconds
    training = stage.epoch_ends[-1] - stage.epoch_ends[0]
    each = training / (len(stage.epoch_ends) - 1)
    return stage.seconds - training - each + each * growth * epochs


def epochs_of(recipe: Recipe) -> dict[str, int]:
    """Return stage -> its epochs, for the stages that train."""
    found = {}
    for stage in stages_of(recipe):
        section = stage.settings.get("teacher") if stage.kind == "teacher" else stage.settings.get("step")
        trained = section if stage.kind == "teacher" else section and distillation_of(section)
        if training := getattr(trained, "training", None):
            found[stage.name] = int(training.epochs)
    return found


def most_views(recipe: Recipe) -> int:
    """Return how many views of the training examples lie in memory at most."""
    return max((getattr(distillation_of(step), "augmented_views", 1) for step in recipe.steps), default=1)


def peak_bytes() -> float:
    """Return this process's largest resident memory since `forget_peak`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak() -> None:
    """Start the count of the largest resident memory again."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def available_bytes() -> float:
    """Return the memory that this machine can still give."""
    status = Path("/proc/meminfo").read_text(encoding="ascii")
    return float(status.split("MemAvailable:")[1].split()[0]) * 1024
