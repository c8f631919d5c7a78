"""Watch one run of a nightly DAG until it ends: one line per stage, and the progress of long stages."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.screen import Screen
from stillhouse.tasks.local_stack.stage_runs import StageRun, stage_runs
from stillhouse.tasks.pipeline.graph import NODE
from stillhouse.tasks.settings import Settings

POLL_SECONDS = 2.5
"""Seconds between polls. Each poll costs Airflow and MLflow time that the training then lacks."""
HEALTH_SECONDS = 20.0
ENDED = {"success", "failed"}
UNKNOWN = StageRun("", "", "")
Task = Mapping[str, Any]


class Watch:
    """One watched run."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str, screen: Screen) -> None:
        """Start with no reported stages."""
        self._airflow, self._dag_id, self._run_id, self._screen = airflow, dag_id, run_id, screen
        self._ingest_and_tell: dict[str, tuple[str, int]] = {}

    def until_end(self, settings: Settings, mlflow: str) -> str:
        """Show the run until it ends; returns one sentence about the failed stage, or an empty string.

        Raises:
            ServiceError: Airflow is no longer complete.
        """
        checked = time.monotonic()
        while True:
            ended = self._airflow.run_state(self._dag_id, self._run_id) in ENDED
            tasks = self._airflow.tasks(self._dag_id, self._run_id)
            runs = stage_runs(mlflow, self._dag_id.removeprefix("nightly_"), f"{self._dag_id}/{self._run_id}")
            self._tell(tasks, runs)
            if ended:
                return what_broke(tasks, runs)
            if time.monotonic() - checked > HEALTH_SECONDS:
                _check_whole(settings)
                checked = time.monotonic()
            time.sleep(POLL_SECONDS)

    def _tell(self, tasks: Sequence[Task], runs: Mapping[str, StageRun]) -> None:
        for task in sorted(tasks, key=lambda task: task["start_date"] or "~"):
            name, now = task["task_id"], (task["state"] or "", task["try_number"])
            text = describe_state(task, runs.get(name, UNKNOWN))
            if text and self._ingest_and_tell.get(name) != now:
                self._screen.line(f"{name}: {text}")
            self._ingest_and_tell[name] = now
        self._screen.passing(self._going_on(tasks, runs))

    def _going_on(self, tasks: Sequence[Task], runs: Mapping[str, StageRun]) -> str:
        running = [task for task in tasks if task["state"] == "running"]
        if running:
            return ", ".join(_inside(task, runs.get(task["task_id"], UNKNOWN)) for task in running)
        if any(task["state"] for task in tasks):
            return "waiting for the next stage to start"
        earlier = [run for run in self._airflow.unfinished_runs(self._dag_id) if run != self._run_id]
        return f"waiting for run {earlier[0]}, which started earlier" if earlier else "waiting for the scheduler"


def describe_state(task: Task, run: StageRun) -> str:
    """Describe a stage's state in words; empty if the stage has not begun."""
    seconds = f"{task['duration'] or 0:.0f} s"
    because = f": {run.error}" if run.error else ""
    return {
        "running": "started" if task["try_number"] <= 1 else f"started again, attempt {task['try_number']}",
        "success": f"reused, {seconds}" if run.reused_from else f"done in {seconds}",
        "skipped": "skipped",
        "up_for_retry": f"broke after {seconds}, will be tried again{because}",
        "failed": f"failed after {seconds}{because}",
    }.get(task["state"] or "", "")


def _inside(task: Task, run: StageRun) -> str:
    elapsed = datetime.now(UTC) - datetime.fromisoformat(task["start_date"])
    return f"{task['task_id']}: {run.progress or 'running'} ({elapsed.total_seconds():.0f} s)"


def what_broke(tasks: Sequence[Task], runs: Mapping[str, StageRun]) -> str:
    """Name the failed stage with its own message; empty if no stage failed."""
    failed = [task["task_id"] for task in tasks if task["state"] == "failed" and NODE not in task["task_id"]]
    stages = [name for name in failed if name != "report"] or failed
    if not stages:
        return ""
    reason = runs.get(stages[0], UNKNOWN).error or "its log in Airflow says why"
    return f"stage {stages[0]} broke: {reason}"


def _check_whole(settings: Settings) -> None:
    state = stack.status(settings)["airflow"]
    if state != "up":
        msg = f"Airflow is {state} in the middle of the run; `make run` repairs it, and finished stages are reused"
        raise ServiceError(msg)
