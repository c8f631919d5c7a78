"""The record of a nightly run: one value with everything that the summary and the report read."""

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
    """Wall time in this run. For a reused stage, the time to find and verify the output."""
    reused_from: str | None = None
    """MLflow id of the run whose output was reused."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    """Metric name -> (step, value), one per epoch."""
    error: str | None = None
    step: Mapping[str, Any] | None = None
    """step.json of a compression stage: `kept`, `reason`, `gained` (validation quality, a fraction) and `cost`."""


@dataclass(frozen=True)
class RunRecord:
    """One nightly run, complete or failed."""

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
    """gate.json, if the gate was reached."""
    evaluation: Mapping[str, Any] | None = None
    """evaluation.json, if the stage `evaluate` finished."""
    data: Mapping[str, Any] | None = None
    """data.json of the stage `pull`. With `splits` of dataset.json added, the report shows the digest of each split."""
    registered: Mapping[str, Any] | None = None
    """`model`, `version` and `alias`, if a version was registered."""
    comparison: Mapping[str, Any] | None = None
    """champion_comparison.json, if the student was compared with the champion."""
    load_test: Mapping[str, Any] | None = None
    """load_test.json, if the student's server had a load test."""
    final_test: Mapping[str, Any] | None = None
    """final_test.json, if the stage `final_test` finished."""
    looks: Mapping[str, int] = field(default_factory=dict)
    """Split -> number of looks at the split so far, over all nights and recipes."""
    stale: Sequence[str] = ()
    """Reasons why the version in production is stale."""
    environment: Mapping[str, str] = field(default_factory=dict)
    data_docs_url: str | None = None
    unread: Sequence[str] = ()
    """Outputs of stages that could not be read for the report, with the reasons."""
    left_out: Sequence[str] = ()
    """What the run did not do although no stage of it failed, in sentences."""
    section: Section | None = None
    """The workload's own section of the report."""
    slices: str = "classes"
    """Plural name of the workload's slices."""

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return (self.ended - self.started).total_seconds()


def error_of(run: RunRecord) -> str | None:
    """Say in one sentence why the run failed. None if the gate gave a verdict and every needed stage is done."""
    failed = next((stage for stage in run.stages if stage.status == "FAILED"), None)
    if failed:
        return f"stage {failed.name} failed: {failed.error or 'it left no reason; read its log in Airflow'}"
    stopped = next((stage for stage in run.stages if _is_unfinished(stage, run)), None)
    if stopped:
        return f"the run stopped at stage {stopped.name}, which is {stopped.status.lower()}; read its log in Airflow"
    if run.gate is None and not run.unread:
        return "the gate gave no verdict because the run stopped before it; start the run again"
    return None


def _is_unfinished(stage: StageRecord, run: RunRecord) -> bool:
    """Tell whether a stage is not done but should be.

    The report, and `register` after a gate without PASS, do not count.
    """
    refused = run.gate is None or run.gate["verdict"] != "PASS"  # a gate that was not reached is found first
    if stage.kind == "report" or (stage.kind == "register" and refused):
        return False
    return stage.status not in {"FINISHED", "SKIPPED"}


def evaluation_of(run: RunRecord) -> Evaluation | None:
    """Return the run's measurements. None if there are none or they are not valid."""
    if run.evaluation is None:
        return None
    try:
        return parse_evaluation(run.evaluation)
    except ArtifactError:
        return None
