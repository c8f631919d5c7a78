"""The ordered stages of a recipe: the one place that the DAG and the command line both read.

Light on purpose: it knows names and order, and imports none of the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """One stage of one recipe."""

    name: str
    """Unique in the recipe; the Airflow task id and the MLflow child run's name."""
    kind: str
    """Which function of `tasks.work.STAGES` does it."""
    settings: Mapping[str, Any]
    """The slice of the recipe the stage may read, and so all that its key depends on."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Role of the input -> name of the earlier stage that makes it."""
    heavy: bool = False
    """Trains or measures, so it takes the only slot of the training pool."""
    reusable: bool = True
    outside: Mapping[str, str] = field(default_factory=dict)
    """Facts from outside the run, read when the stage begins; its key counts them, see `tasks.outside`."""


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """All stages of a recipe, in the order in which they run."""
    common = {"seed": recipe.seed, "workload": recipe.workload}
    pull = Stage("pull", "pull", {"data": recipe.data})
    validate = Stage("validate", "validate", {"data": recipe.data}, {"data": "pull"})
    teacher = Stage(
        "teacher",
        "teacher",
        common | {"teacher": recipe.teacher},
        {"data": "pull", "validation": "validate"},
        heavy=True,
    )
    steps = _steps(recipe, common)
    student = steps[-1].name
    export = Stage("export", "export", common, {"data": "pull", "teacher": "teacher", "student": student})
    evaluate = Stage(
        "evaluate",
        "evaluate",
        common
        | {"latency": recipe.latency, "latency_limit": recipe.gate.latency, "confidence": recipe.gate.confidence},
        {"data": "pull", "models": "export"},
        heavy=True,
    )
    gate = Stage("gate", "gate", {"gate": recipe.gate}, {"evaluation": "evaluate"})
    challenge = Stage(
        "challenge",
        "challenge",
        common | {"name": recipe.name, "latency": recipe.latency, "confidence": recipe.gate.confidence},
        {"data": "pull", "models": "export"},
        heavy=True,
    )
    load = Stage("load", "load", {}, {"data": "pull", "models": "export"}, heavy=True)
    final_test = Stage(
        "final_test",
        "final_test",
        common | {"name": recipe.name, "confidence": recipe.gate.confidence},
        {"data": "pull", "models": "export", "gate": "gate"},
        heavy=True,
    )
    register = Stage(
        "register",
        "register",
        {"recipe": recipe},
        {"data": "pull", "models": "export", "evaluation": "evaluate", "gate": "gate", "final_test": "final_test"},
        reusable=False,
    )
    report = Stage("report", "report", {"recipe": recipe}, reusable=False)
    return (pull, validate, teacher, *steps, export, evaluate, gate, challenge, load, final_test, register, report)


def _steps(recipe: Recipe, common: Mapping[str, Any]) -> list[Stage]:
    stages: list[Stage] = []
    for number, step in enumerate(recipe.steps, start=1):
        previous = stages[-1].name if stages else "teacher"
        stages.append(
            Stage(
                "_".join(filter(None, ("step", str(number), step.method, step.tower))),
                "compress",
                {**common, "step": step, "worth": recipe.worth},
                {"data": "pull", "teacher": "teacher", "previous": previous},
                heavy=True,
            )
        )
    return stages
