"""Tell which results are valid on this machine only: times, and steps that were kept or dropped because of a time.

The keys of the stages `evaluate`, `compare_champion` and `load_test`, and of a step that prunes to a number of
milliseconds, include the machine. The screening of any other step also measures a time. Such a step is repeated on
another machine only if the time decided: if size and quality alone would have decided otherwise. No model is trained
again because of a time that decided nothing. The latency of the student is measured on this machine in any case.
"""

from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.machine import machine
from stillhouse.tasks.judging.keep_step import BY_TIME
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.tracking.runs import find_finished
from stillhouse.tasks.tracking.tags import FINISHED, PREFIX

WORK_KEY = "work_key"
"""Tag: the key without the machine."""
DONE_ON = "done_on"
"""Tag: the machine that did the work. A reused result keeps it."""


def holds_here_only(client: MlflowClient, stage: Stage, work_key: str) -> bool:
    """Tell whether a stage's key includes the machine.

    Args:
        client: MLflow client that finds how the screening of a step was decided.
        stage: the stage.
        work_key: the stage's key without the machine.
    """
    if stage.kind != "compress":
        return KINDS[stage.kind].timed
    return getattr(stage.settings["step"], "milliseconds", None) is not None or _was_timed_elsewhere(client, work_key)


def _was_timed_elsewhere(client: MlflowClient, work_key: str) -> bool:
    """Tell whether a time measured on another machine decided about this step."""
    runs = find_finished(client, work_key)
    return any(
        run.data.metrics.get(BY_TIME, 0) and run.data.tags.get(PREFIX + DONE_ON, machine()) != machine() for run in runs
    )


def why_anew(client: MlflowClient, experiment_id: str, work_key: str) -> str:
    """Name the other machine that measured the same result; an empty string if there is none."""
    query = f"tags.`{PREFIX}{WORK_KEY}` = '{work_key}' and attributes.status = '{FINISHED}'"
    order = ["attributes.start_time DESC"]
    for run in client.search_runs([experiment_id], query, max_results=5, order_by=order):
        there = run.data.tags.get(PREFIX + DONE_ON, machine())
        if there != machine():
            return f"measured anew on {machine()}: MLflow run {run.info.run_id} measured it on {there}"
    return ""
