"""Names of our tags, of a run's states and of its artifacts in MLflow."""

from mlflow.entities import RunStatus

PREFIX = "stillhouse."
ARTIFACT = "artifact"
"""Folder of a stage's output among its run's artifacts."""
NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run or an experiment, as Markdown."""
FINISHED, RUNNING = (RunStatus.to_string(status) for status in (RunStatus.FINISHED, RunStatus.RUNNING))
STAGE, STAGE_KEY, OPENED = (PREFIX + name for name in ("stage", "stage_key", "opened"))
STAGE_RUNS = f"{PREFIX}stage_runs"
"""Tag of a version: stage -> the run that made the stage's output, and the digest of that output."""
RENDEZVOUS = "rendezvous"
"""Tag of a stage's run: where the stage waits for the further hosts of its training."""
OF_ONE_TRY = ("error", "reused_from", "done_on", "measured_anew", RENDEZVOUS)
"""Tags of a stage's run that belong to one try. They are deleted when the stage is tried again."""
