"""Write the recipe of a rung: a whole recipe that a person can edit and run again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stillhouse.models.aside import write_aside
from stillhouse.tasks.ladder.families.rungs import Rung
from stillhouse.tasks.ladder.goals import Goals

LATENCY = {"repeats": 5, "max_repeats": 15, "rounds": 20, "pause_seconds": 0.2}
KEEP_EVERY_STEP = {"max_quality_drop": 1.0, "min_saving": 0.0}
"""The ladder judges whole rungs, so no step is dropped on its way."""


@dataclass(frozen=True)
class Model:
    """A user's model with its data: what all rungs have in common."""

    name: str
    workload: str
    teacher: Mapping[str, Any]
    """The recipe's section `teacher`."""
    data: Mapping[str, Any]
    """The recipe's section `data`."""


def write_recipe(  # noqa: PLR0913, PLR0917 - all that a recipe says
    folder: Path, model: Model, rung: Rung, epochs: int, goals: Goals, about: Sequence[str]
) -> Path:
    """Write the recipe of a rung as `<name>.yaml` into a folder. Returns its path.

    Args:
        folder: is made if it is not there.
        model: the model and its data.
        rung: the way to compress it.
        epochs: of the longest training.
        goals: become the recipe's gate.
        about: lines for the head of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.name}.yaml"
    content = {
        "name": model.name,
        "description": rung.words,
        "schedule": None,
        "seed": 7,
        "data": dict(model.data),
        "workload": model.workload,
        "teacher": dict(model.teacher),
        "steps": rung.steps(epochs),
        "keep_step_if": KEEP_EVERY_STEP,
        "latency": LATENCY,
        "gate": {"quality": goals.keep, "bytes": goals.smaller, "latency": goals.faster},
    }
    head = "".join(f"# {line}\n" for line in about)
    with write_aside(path) as aside:
        aside.write_text(head + yaml.safe_dump(content, sort_keys=False, width=120), encoding="utf-8")
    return path
