"""Which results hold on this machine only: those that are times, and steps that were kept or dropped by a time.

What the stages `evaluate`, `challenge` and `load` measure, and a step that prunes down to milliseconds, count the
machine in their keys. The screening of any other step is a time too, but decides only where bytes and quality alone
would decide otherwise: only such a step is done again on another machine. No model is trained again for a time that
decided nothing; whether the student is fast enough is measured on this machine in any case.
"""

from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.machine import machine
from stillhouse.tasks.judging.keep_step import BY_TIME
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.tracking.runs import FINISHED, PREFIX, finished_with_key

WORK_KEY = "work_key"
"""Tag: the key without the machine."""
DONE_ON = "done_on"
"""Tag: the machine that did the work, which a reused result keeps."""


def holds_here_only(client: MlflowClient, stage: Stage, work_key: str) -> bool:
    """Tell whether a stage's key counts the machine.

    Args:
        client: asked what a step's screening decided.
        stage: the stage.
        work_key: its key without a machine.
    """
    if stage.kind != "compress":
        return KINDS[stage.kind].timed
    return getattr(stage.settings["step"], "milliseconds", None) is not None or _timed_elsewhere(client, work_key)


def _timed_elsewhere(client: MlflowClient, work_key: str) -> bool:
    """Tell whether a time decided about this step, on another machine than this."""
    runs = finished_with_key(client, work_key)
    return any(
        run.data.metrics.get(BY_TIME, 0) and run.data.tags.get(PREFIX + DONE_ON, machine()) != machine() for run in runs
    )


def why_anew(client: MlflowClient, experiment_id: str, work_key: str) -> str:
    """Say which other machine had measured the same; nothing if none had."""
    query = f"tags.`{PREFIX}{WORK_KEY}` = '{work_key}' and attributes.status = '{FINISHED}'"
    order = ["attributes.start_time DESC"]
    for run in client.search_runs([experiment_id], query, max_results=5, order_by=order):
        there = run.data.tags.get(PREFIX + DONE_ON, machine())
        if there != machine():
            return f"measured anew on {machine()}: MLflow run {run.info.run_id} measured it on {there}"
    return ""
