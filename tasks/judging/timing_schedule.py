"""The timing schedule of two files, in the form that `models.measurement.latency.Schedule` takes."""

from collections.abc import Mapping
from typing import Any

from stillhouse.tasks.recipe.judging import Latency


def schedule_of(settings: Mapping[str, Any], limit: float) -> dict[str, float]:
    """Return how long two files are timed against each other, to decide on which side of a limit their ratio is."""
    latency: Latency = settings["latency"]
    return {
        "repeats": latency.repeats,
        "most": latency.max_repeats,
        "rounds": latency.rounds,
        "pause_seconds": latency.pause_seconds,
        "confidence": 2 * settings["confidence"] - 1,
        "limit": limit,
    }
