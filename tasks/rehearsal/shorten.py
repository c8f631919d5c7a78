"""Shorten a recipe for its rehearsal: few epochs of small batches, no step dropped for its quality, little timing.

A rehearsal trains on this host only.
"""

from typing import Any

from stillhouse.tasks.recipe.recipe import Recipe

EPOCHS = 4
BATCH = 64
"""Maximum batch size."""
LATENCY = {"repeats": 3, "max_repeats": 3, "rounds": 10, "pause_seconds": 0.0}
MOST = {"augmented_views": 1, "mixup_views": 1, "rounds": 2}
"""Key of a section -> its maximum in a rehearsal."""


def shorten(recipe: Recipe) -> Recipe:
    """Return the recipe of the rehearsal. Networks, methods and their other settings stay as they are."""
    content = recipe.model_dump(mode="json", exclude_unset=True)
    content = {name: _shortened(value) for name, value in content.items()}
    return Recipe.model_validate(
        content | {"latency": LATENCY, "keep_step_if": {"max_quality_drop": 1.0, "min_saving": 0.0}}
    )


def _shortened(value: Any) -> Any:  # noqa: ANN401 - any part of a recipe
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if not isinstance(value, dict):
        return value
    short = {name: _shortened(each) for name, each in value.items()}
    short |= {name: min(short[name], most) for name, most in MOST.items() if name in short}
    return short | {"training": _short_training(short["training"])} if "training" in short else short


def _short_training(training: dict[str, Any]) -> dict[str, Any]:
    sides = training.get("resolutions")
    largest = {"resolutions": [max(sides)] * EPOCHS} if sides else {}
    return training | {"epochs": EPOCHS, "batch_size": min(training["batch_size"], BATCH), "nodes": 1} | largest
