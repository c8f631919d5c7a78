"""One `nightly_<recipe>` DAG for every file of dags/recipes/: the recipe's stages, without their work.

Airflow parses this file every half minute. So the file only reads YAML and knows stage names; the task imports the
stage. If a recipe cannot be read, its DAG has one task that fails with the reason (`dags.every_recipe`).
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    AssetOrTimeSchedule,
    BaseOperator,
    Context,
    CronTriggerTimetable,
    Param,
    TriggerRule,
)
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from stillhouse.dags.events import RECIPES, candidate_of, data_of
from stillhouse.dags.every_recipe import dags_of_recipes
from stillhouse.dags.nodes import NodeSensor
from stillhouse.dags.notify import late, tell
from stillhouse.dags.worker import WorkerOperator
from stillhouse.tasks.errors import ArtifactError, ServiceError, StillhouseError
from stillhouse.tasks.pipeline.graph import NODE, Stage, stages_of, upstream_of
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.recipe.section import DATA_REVISION

LATE = timedelta(minutes=10)
"""Maximum delay of a new DAG's first nightly run.

If the DAG is unpaused later, it waits for the next scheduled time.
"""
LONGEST = timedelta(hours=6)
"""Maximum time of a stage that trains or measures: three hours of work, and three for which it may wait.

On one host a measurement waits inside its task until trainings end.
"""
PARAMS = {
    "revision": Param(
        default=None,
        type=["null", "string"],
        pattern=DATA_REVISION,
        title="Data revision",
        description="Git revision whose data.dvc is used; empty for what woke the run, or else the deployed one.",
    ),
    "force": Param(
        default=False,
        type="boolean",
        title="Redo every stage",
        description="Take no finished stage of an earlier run.",
    ),
}
DEFAULTS = {
    "retries": 4,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 3.0,
    "max_retry_delay": timedelta(minutes=5),
}
"""Pauses of at least 5, 15, 45 and 135 seconds, so that a server may be away for three minutes."""


class StageOperator(WorkerOperator):
    """Runs one stage, or reuses its finished output; returns a few metrics."""

    def __init__(self, *, recipe_path: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the recipe's path. The task id is the stage's name."""
        super().__init__(**options)
        self.recipe_path = recipe_path

    def execute(self, context: Context) -> dict[str, float | str]:
        """Run the stage of this nightly run."""
        refuse_unknown(context["dag_run"].conf or {})
        from stillhouse.tasks.pipeline.run_stage import run_stage

        run, params = context["dag_run"], context["params"]
        try:
            metrics = run_stage(
                Path(self.recipe_path),
                self.task_id,
                f"{run.dag_id}/{run.run_id}",
                revision=params["revision"] or woken_with(context),
                force=params["force"],
            )
        except (ServiceError, ArtifactError):
            raise  # worth a retry: a server may come back, and an output can be made again
        except StillhouseError as error:
            raise AirflowFailException(str(error)) from error
        if "skipped" in metrics:
            raise AirflowSkipException(str(metrics["skipped"]))
        return metrics


class RegisterOperator(StageOperator):
    """Registers a version that passed, which wakes the promotion DAG of its recipe. A skipped task wakes nothing."""

    def execute(self, context: Context) -> dict[str, float | str]:
        """Register the version and put its number into the event."""
        try:
            metrics = super().execute(context)
        except AirflowSkipException as skipped:
            tell("refused", Path(self.recipe_path).stem, str(skipped))
            raise
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {name: metrics[name] for name in ("model", "version")}
        return metrics


class ReportOperator(StageOperator):
    """Always writes the report, then fails if a stage has failed, so that the run fails too."""

    def execute(self, context: Context) -> dict[str, float | str]:
        """Write the report of this nightly run, and fail if a stage has failed."""
        try:
            return self._report(context)
        except AirflowFailException as broken:
            tell("pipeline broken", Path(self.recipe_path).stem, str(broken))
            raise

    def _report(self, context: Context) -> dict[str, float | str]:
        metrics = super().execute(context)
        count_verdict(Path(self.recipe_path).stem, str(metrics["verdict"]))
        run = context["dag_run"]
        states = context["ti"].get_task_states(run.dag_id, run_ids=[run.run_id])[run.run_id]
        stages = [name for name in states if NODE not in name and name != self.task_id]
        broken = [name for name in stages if states[name] == "failed"]
        if broken:
            msg = f"stage {broken[0]} failed, and the report says so; mend what its log names and trigger the run again"
            raise AirflowFailException(msg)
        return metrics


def count_verdict(recipe: str, verdict: str) -> None:
    """Count a verdict among Airflow's own metrics, which have the durations and the queue times."""
    from airflow.sdk.observability.stats import Stats

    Stats.incr("stillhouse.verdict", tags={"recipe": recipe, "verdict": verdict})


def refuse_unknown(conf: Mapping[str, Any]) -> None:
    """Refuse keys of a trigger's conf that no param declares, because Airflow ignores them silently.

    Raises:
        AirflowFailException: the error names the keys. A retry cannot help.
    """
    unknown = sorted(set(conf) - set(PARAMS))
    if unknown:
        known = " and ".join(PARAMS)
        msg = f"the trigger's conf has unknown keys {', '.join(unknown)}; trigger again with {known} only"
        raise AirflowFailException(msg)


def woken_with(context: Context) -> str | None:
    """Return the data revision of the newest event that woke this run; `None` for any other run.

    If a person sends an event from Airflow's asset page, it has no revision.
    """
    events = [event for some in context["triggering_asset_events"].values() for event in some]
    newest = max(events, key=lambda event: event.timestamp, default=None)
    return (newest.extra or {}).get("revision") if newest else None


def nightly(path: Path) -> DAG:
    """Build the DAG of one recipe file."""
    recipe = load_recipe(path)
    with DAG(
        f"nightly_{recipe.name}",
        schedule=_schedule(recipe),
        catchup=False,
        max_active_runs=1,
        tags=[recipe.name, recipe.workload],
        params=PARAMS,
        default_args=DEFAULTS | {"owner": recipe.owner},
        doc_md=_describe(recipe, path),
        deadline=DeadlineAlert(
            DeadlineReference.DAGRUN_QUEUED_AT,
            timedelta(hours=recipe.late_after_hours),
            SyncCallback(late, {"recipe": recipe.name, "hours": recipe.late_after_hours}),
        ),
    ) as dag:
        stages = stages_of(recipe)
        tasks = {stage.name: _task(stage, path, recipe) for stage in stages}
        for name, before in upstream_of(stages).items():
            tasks[name].set_upstream([tasks[each] for each in before])
        for stage in stages:
            _add_nodes(stage, path, tasks)
    return dag


def _schedule(recipe: Recipe) -> CronTriggerTimetable | AssetOrTimeSchedule | None:
    """Return the schedule: the recipe's hour, and new data unless the recipe pins its data.

    Without an hour, all runs are manual.
    """
    if not recipe.schedule:
        return None
    # There is no start date: with one, unpausing would at once start the nightly run that has passed.
    hour = CronTriggerTimetable(recipe.schedule, timezone="UTC", run_immediately=LATE)
    if recipe.data.revision or recipe.data.sha256:
        return hour
    return AssetOrTimeSchedule(timetable=hour, assets=[data_of(recipe.data.dataset)])


def _task(stage: Stage, path: Path, recipe: Recipe) -> BaseOperator:
    options: dict[str, Any] = {"task_id": stage.name, "recipe_path": str(path)}
    options |= {"queue": stage.queue, "pool": stage.queue}
    options["execution_timeout"] = LONGEST if stage.heavy else timedelta(minutes=30)
    if stage.kind == "report":
        return ReportOperator(trigger_rule=TriggerRule.ALL_DONE, **options)
    if stage.kind == "register":
        return RegisterOperator(outlets=[candidate_of(recipe)], **options)
    return StageOperator(**options)


def _add_nodes(stage: Stage, path: Path, tasks: Mapping[str, BaseOperator]) -> None:
    """Add a task for each further host that trains in a stage.

    Only the report waits for these tasks. The night's state is that of the report, so they cannot break the night.
    """
    for node in range(1, stage.nodes):
        options = {"pool": stage.queue, "queue": stage.queue, "execution_timeout": LONGEST}
        sensor = NodeSensor(recipe_path=str(path), stage=stage.name, node=node, **options)
        sensor.set_upstream([tasks[name] for name in tasks[stage.name].upstream_task_ids])
        sensor.set_downstream(tasks["report"])


def _describe(recipe: Recipe, path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line.lstrip("# ") for line in lines[: _header_length(lines)]]
    gate = recipe.gate
    table = [
        "| student against teacher | limit |",
        "|---|---|",
        f"| quality kept | at least {gate.quality:.1%} |",
        f"| fewer bytes | at least {gate.bytes:g} x |",
        f"| faster, batch 1, one thread | at least {gate.latency:g} x |",
    ]
    return "\n".join([recipe.description, "", *header, "", *table])


def _header_length(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))


globals().update(dags_of_recipes("nightly", RECIPES, nightly))
