"""The stages of a recipe, in an order in which they can run, and what each waits for. All read them here.

This module is light on purpose: it knows names and order, and does not import the code of the stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stillhouse.models.providers import Provider
from stillhouse.tasks.pipeline.job import END
from stillhouse.tasks.pipeline.providers import providers_of
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.recipe.steps import Step

NODE = "__node_"
"""Between the name of a stage and the number of a further host, in the task that trains on that host."""


@dataclass(frozen=True)
class Stage:
    """One stage of one recipe."""

    name: str
    """Unique in the recipe. It is the Airflow task id and the name of the MLflow child run."""
    kind: str
    """The stage's row in `tasks.pipeline.stages.KINDS`."""
    settings: Mapping[str, Any]
    """The part of the recipe that the stage may read. The stage's key depends on this part only."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Name of an input -> name of the earlier stage that makes it."""
    outside: Mapping[str, str] = field(default_factory=dict)
    """Facts from outside the run, read when the stage begins.

    The stage's key includes them; see `tasks.pipeline.outside`.
    """
    providers: tuple[Provider, ...] = ()
    """Installed packages whose code the stage runs in addition to ours."""

    @property
    def workload(self) -> str:
        """The recipe's workload, if the stage depends on it; otherwise an empty string."""
        return str(self.settings.get("workload", ""))

    @property
    def heavy(self) -> bool:
        """Whether the stage trains or measures."""
        return KINDS[self.kind].heavy

    @property
    def queue(self) -> str:
        """Airflow's pool of the stage, and Celery's queue whose workers run it."""
        return KINDS[self.kind].queue

    @property
    def nodes(self) -> int:
        """Number of hosts that train together in this stage."""
        trained = self.settings.get("teacher") or getattr(self.settings.get("step"), "distillation", None)
        return getattr(getattr(trained, "training", None), "nodes", 1)

    @property
    def reusable(self) -> bool:
        """Whether the stage's output is identified by a key, so that a later run can reuse it."""
        return KINDS[self.kind].reusable


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """Return all stages of a recipe, in the order in which they run."""
    steps, providers = _steps(recipe), providers_of(recipe)
    stages = (*_before(recipe), *steps, *_judging(recipe, steps[-1].name), *_after(recipe))
    return tuple(replace(stage, providers=providers) if KINDS[stage.kind].faces else stage for stage in stages)


def _common(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "workload": recipe.workload}


def _before(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages up to the teacher."""
    teacher = {**_common(recipe), "teacher": recipe.teacher}
    return (
        Stage("pull", "pull", {"data": recipe.data}),
        Stage("validate", "validate", {"data": recipe.data}, {"data": "pull"}),
        Stage("teacher", "teacher", teacher, {"data": "pull", "validation": "validate"}),
    )


def _steps(recipe: Recipe) -> list[Stage]:
    """Return one stage for each compression step, and one wherever components that were compressed apart join.

    A step of one component starts from the last step of this component, so that components are compressed side by
    side. A step of all components starts from all of them.
    """
    stages: list[Stage] = []
    whole, ends = "teacher", dict[str, str]()
    for number, step in enumerate(recipe.steps, start=1):
        if step.component is None:
            whole, ends = _join(recipe, stages, whole, ends), {}
        stages.append(_step(recipe, number, step, ends.get(step.component or "", whole)))
        if step.component is None:
            whole = stages[-1].name
        else:
            ends[step.component] = stages[-1].name
    _join(recipe, stages, whole, ends)
    return stages


def _step(recipe: Recipe, number: int, step: Step, previous: str) -> Stage:
    return Stage(
        "_".join(filter(None, ("step", str(number), step.method, step.component))),
        "compress",
        {**_common(recipe), "step": step, "keep_step_if": recipe.keep_step_if},
        {"data": "pull", "teacher": "teacher", "previous": previous},
    )


def _join(recipe: Recipe, stages: list[Stage], whole: str, ends: Mapping[str, str]) -> str:
    """Add a stage that joins components, if there are several. Returns the stage that has the whole model.

    Args:
        recipe: the recipe.
        stages: the stages so far.
        whole: the last stage of the whole model.
        ends: component -> the last stage that changed it since.
    """
    if len(ends) <= 1:
        return next(iter(ends.values()), whole)
    number = sum(stage.kind == "join" for stage in stages)
    name, previous = (
        f"join_{number + 1}" if number else "join",
        {"data": "pull", "teacher": "teacher", "previous": whole},
    )
    joined = {f"{END}{component}": end for component, end in ends.items()}
    stages.append(Stage(name, "join", _common(recipe), {**previous, **joined}))
    return name


def upstream_of(stages: Sequence[Stage]) -> dict[str, tuple[str, ...]]:
    """Return name of a stage -> the stages that end before it begins.

    A compression step and a join wait for what they read. Every other stage waits for the stage before it in the list,
    so that nothing runs beside a measurement. The last stage also waits for each end of a component.
    """
    after: dict[str, tuple[str, ...]] = {}
    for before, stage in zip((None, *stages), stages, strict=False):
        ends = tuple(name for slot, name in stage.inputs.items() if slot.startswith(END))
        previous = stage.inputs.get("previous", before.name if before else None)
        after[stage.name] = ends or ((previous,) if previous else ())
    joined = [name for stage in stages if stage.kind == "join" for name in after[stage.name]]
    after[stages[-1].name] += tuple(joined)
    return after


def _judging(recipe: Recipe, student: str) -> tuple[Stage, ...]:
    """Return the stages that export the output of the last step, measure it and judge it."""
    common, confidence = _common(recipe), {"confidence": recipe.gate.confidence}
    measured = {**common, **confidence, "latency": recipe.latency, "latency_limit": recipe.gate.latency}
    compared = {**common, **confidence, "latency": recipe.latency, "name": recipe.name}
    exported = {**common, "weights_licence": recipe.teacher.licence}
    judged = {"data": "pull", "models": "export"}
    return (
        Stage("export", "export", exported, {"data": "pull", "teacher": "teacher", "student": student}),
        Stage("evaluate", "evaluate", measured, judged),
        Stage("gate", "gate", {"gate": recipe.gate}, {"evaluation": "evaluate"}),
        Stage("compare_champion", "compare_champion", compared, judged),
        Stage("load_test", "load_test", {"workload": recipe.workload}, judged),
        Stage("final_test", "final_test", {**common, **confidence, "name": recipe.name}, {**judged, "gate": "gate"}),
    )


def _after(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages that act on the registry and on the whole run."""
    shown = {"data": "pull", "models": "export"} | {name: name for name in ("gate", "final_test")}
    return (
        Stage("register", "register", {"recipe": recipe}, {**shown, "evaluation": "evaluate"}),
        Stage("report", "report", {"recipe": recipe}),
    )
