"""What a nightly run left behind, collected in one value: all that the summary and the report read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from stillhouse.models.evaluation.schema import Evaluation
from stillhouse.models.workloads.report_base import Section
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.recipe.recipe import Recipe

Status = Literal["FINISHED", "FAILED", "SKIPPED", "RUNNING", "MISSING"]


@dataclass(frozen=True)
class StageRecord:
    """One stage of one run."""

    name: str
    kind: str
    status: Status
    seconds: float | None = None
    """Wall time in this run; for a reused stage that is the time it took to find and verify."""
    reused_from: str | None = None
    """MLflow id of the run whose output was reused."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    """Metric name -> (step, value), one per epoch."""
    error: str | None = None
    step: Mapping[str, Any] | None = None
    """step.json, of a stage that compressed: `kept`, `reason`, `gained` (search quality, a fraction) and `cost`."""


@dataclass(frozen=True)
class RunRecord:
    """One nightly run, whole or broken."""

    recipe: Recipe
    recipe_yaml: str
    run_key: str
    """`dag_id/run_id` in Airflow."""
    mlflow_run_id: str
    mlflow_url: str
    code_version: str
    started: datetime
    ended: datetime
    stages: tuple[StageRecord, ...]
    gate: Mapping[str, Any] | None = None
    """gate.json, when the gate was reached."""
    evaluation: Mapping[str, Any] | None = None
    """evaluation.json, when evaluate finished."""
    data: Mapping[str, Any] | None = None
    """data.json of pull; with `roles` of dataset.json merged in, the report shows each role's digest."""
    registered: Mapping[str, Any] | None = None
    """`model`, `version` and `alias`, when a version was registered."""
    challenge: Mapping[str, Any] | None = None
    """challenge.json, when the student was put beside what is in production."""
    load: Mapping[str, Any] | None = None
    """load.json, when load was put on the student's server."""
    final_test: Mapping[str, Any] | None = None
    """final_test.json, when that stage finished."""
    looks: Mapping[str, int] = field(default_factory=dict)
    """Split -> how often it was looked at so far, over all nights and recipes."""
    debt: Sequence[str] = ()
    """Why what is in production is stale."""
    environment: Mapping[str, str] = field(default_factory=dict)
    data_docs_url: str | None = None
    unread: Sequence[str] = ()
    """What of the stages' outputs could not be read for the report, and why."""
    section: Section | None = None
    """What only the workload tells."""
    slices: str = "classes"
    """What the workload's slices are."""

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return (self.ended - self.started).total_seconds()


def error_of(run: RunRecord) -> str | None:
    """Say in one sentence what broke the run, or None when its gate spoke and every stage it needed is done."""
    failed = next((stage for stage in run.stages if stage.status == "FAILED"), None)
    if failed:
        return f"stage {failed.name} failed: {failed.error or 'it left no reason; read its log in Airflow'}"
    stopped = next((stage for stage in run.stages if _unfinished(stage, run)), None)
    if stopped:
        return f"the run stopped at stage {stopped.name}, which is {stopped.status.lower()}; read its log in Airflow"
    if run.gate is None and not run.unread:
        return "the gate gave no verdict because the run stopped before it; start the run again"
    return None


def _unfinished(stage: StageRecord, run: RunRecord) -> bool:
    """Tell a stage that should be done by now: not the report itself, nor register after a gate that said no."""
    refused = run.gate is None or run.gate["verdict"] != "PASS"  # a gate that was not reached is found first
    if stage.kind == "report" or (stage.kind == "register" and refused):
        return False
    return stage.status not in {"FINISHED", "SKIPPED"}


def evaluation_of(run: RunRecord) -> Evaluation | None:
    """Give the run's measurements, or None when there are none that can be trusted."""
    if run.evaluation is None:
        return None
    try:
        return parse_evaluation(run.evaluation)
    except ArtifactError:
        return None
