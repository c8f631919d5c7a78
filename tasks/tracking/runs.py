"""The MLflow side of a nightly run: one parent run, and one child run per stage and key. They are found after a kill.

Tags tell stages apart. A stage that failed continues in its old child run, unless its key differs. Each key (recipe,
data, code) has its own run, and a finished run is never opened again. Finished stages are also looked up in MLflow for
reuse, so people review exactly the runs that are reused.
"""

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import requests
from mlflow.entities import Metric, Run, RunStatus, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds

from stillhouse.tasks.artifacts.artifact import VOLATILE
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.tracking.deleted import find_experiment, refuse_deleted
from stillhouse.tasks.tracking.progress import ProgressLog

FILE = "sqlite:///"
"""Start of the address of an MLflow that is a database file; the absolute path follows."""
RUN_KEY = r"[\w.:+/~-]{1,250}"
PREFIX = "stillhouse."
ARTIFACT = "artifact"
"""Folder of a stage's output among its run's artifacts."""
HEALTHY = "OK"
"""The whole answer of MLflow's `/health`."""
BATCH = 500
"""Maximum number of metrics that MLflow accepts in one call."""
NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run or an experiment, as Markdown."""
FINISHED, RUNNING = (RunStatus.to_string(status) for status in (RunStatus.FINISHED, RunStatus.RUNNING))
STAGE, STAGE_KEY, OPENED = (PREFIX + name for name in ("stage", "stage_key", "opened"))
STAGE_RUNS = f"{PREFIX}stage_runs"
"""Tag of a version: stage -> the run that made the stage's output, and the digest of that output."""
OF_ONE_TRY = ("error", "reused_from", "done_on", "measured_anew")
"""Tags of a stage's run that belong to one try. They are deleted when the stage is tried again."""


def connect(tracking_uri: str) -> MlflowClient:
    """Open MLflow. If the server is down, this fails quickly.

    Raises:
        ServiceError: no server is known, or it does not answer as MLflow does.
    """
    if not tracking_uri:
        msg = "no MLflow of this deployment is up; start it with `make up`, or name another in MLFLOW_TRACKING_URI"
        raise ServiceError(msg)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # our own code prints its progress
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    if tracking_uri.startswith("http"):
        _expect_healthy(tracking_uri)
    return MlflowClient(tracking_uri, registry_uri=tracking_uri)  # ignores MLFLOW_REGISTRY_URI


def _expect_healthy(tracking_uri: str) -> None:
    """Check that a server is a working MLflow, with the certificates that MLflow's own client accepts."""
    try:
        verify = get_default_host_creds(tracking_uri).verify
        reply = requests.get(f"{tracking_uri}/health", timeout=10, verify=verify)
        reply.raise_for_status()
    except (requests.RequestException, MlflowException, ValueError, OSError) as error:
        why = "" if type(error) is requests.ConnectionError else f" ({type(error).__name__}: {_one_line(error)})"
        msg = f"MLflow does not answer at {tracking_uri}{why}; start it with `make up` or mend MLFLOW_TRACKING_URI"
        raise ServiceError(msg) from error
    if reply.text.strip() != HEALTHY:
        msg = f"what answers at {tracking_uri} is not MLflow; mend or unset MLFLOW_TRACKING_URI"
        raise ServiceError(msg)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


@dataclass
class Child:
    """The MLflow run of one stage."""

    client: MlflowClient
    run_id: str
    epochs: int = 0
    """Number of the last epoch whose metrics were recorded."""
    _unsent: list[Metric] = field(default_factory=list)
    _log: ProgressLog = field(init=False)

    def __post_init__(self) -> None:
        """Start without lines."""
        self._log = ProgressLog(self.client, self.run_id)

    def progress(self, line: str) -> None:
        """Keep one line. Also show it as the tag, unless another line was shown within the last second."""
        if self._log.add(line):
            self._send()

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of one epoch."""
        self.epochs = max(self.epochs, step)
        now = int(time.time() * 1000)
        self._unsent += [Metric(name, value, now, step) for name, value in metrics.items()]

    def conclude(self, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of the result. They are later than those of the last epoch, so MLflow shows them."""
        self.record(self.epochs, metrics)

    def flush(self) -> None:
        """Send all recorded metrics and all lines."""
        self._send()
        self._log.flush()

    def _send(self) -> None:
        for start in range(0, len(self._unsent), BATCH):
            self.client.log_batch(self.run_id, self._unsent[start : start + BATCH])
        self._unsent.clear()

    def say_where(self, folder: Path, tracking_uri: str) -> None:
        """Print the address of the output, and of the Data Docs if there are any.

        Prints nothing if MLflow has no web pages.
        """
        if not tracking_uri.startswith("http"):
            return
        run = self.client.get_run(self.run_id).info
        run_id, docs = run.run_id, f"{ARTIFACT}/{VOLATILE}/index.html"
        output = page_of(tracking_uri, run.experiment_id, run_id, ARTIFACT)
        print(f"output: {output}", flush=True)  # noqa: T201 - becomes a line of the Airflow log
        if (folder / VOLATILE).is_dir():
            page = page_of(tracking_uri, run.experiment_id, run_id, docs)
            print(f"Data Docs: {page}", flush=True)  # noqa: T201 - likewise

    def tag(self, name: str, value: str) -> None:
        """Set one of our own tags."""
        self.client.set_tag(self.run_id, PREFIX + name, value)

    def keep(self, folder: Path) -> None:
        """Upload a finished stage's output."""
        self.client.log_artifacts(self.run_id, str(folder), ARTIFACT)


@dataclass(frozen=True)
class Nightly:
    """The MLflow run of a whole nightly run."""

    client: MlflowClient
    experiment_id: str
    run_id: str

    @contextmanager
    def child(self, stage: str, kind: str, key: str = "") -> Iterator[Child]:
        """Open a stage's run. It ends FINISHED, or FAILED with the error sentence. After a kill it stays open.

        A finished run is never opened again, so its recorded decisions stay unchanged.

        Args:
            stage: name of the stage.
            kind: kind of the stage.
            key: key of the run. A stage with another key gets another run. Empty: the key is not known yet.
        """
        child = Child(self.client, self._find_or_start(stage, kind, key))
        started = time.monotonic()
        try:
            yield child
        except BaseException as error:
            sentence = str(error) if isinstance(error, StillhouseError) else f"{type(error).__name__}: {error}"
            child.flush()
            child.tag("error", sentence[:4000])
            child.tag("seconds", f"{time.monotonic() - started:.2f}")
            self.client.set_terminated(child.run_id, "FAILED")
            raise
        child.flush()
        child.tag("seconds", f"{time.monotonic() - started:.2f}")
        self.client.set_terminated(child.run_id)

    def children(self) -> list[Run]:
        """List the runs of all stages so far."""
        return list(self.client.search_runs([self.experiment_id], f"tags.`mlflow.parentRunId` = '{self.run_id}'"))

    def _find_or_start(self, stage: str, kind: str, key: str) -> str:
        own = [run for run in sort_newest_first(self.children()) if run.data.tags.get(STAGE) == stage]
        open_ones = [run for run in own if run.info.status != FINISHED]
        tags = {OPENED: datetime.now(UTC).isoformat(timespec="microseconds")} | ({STAGE_KEY: key} if key else {})
        if found := _of_key(open_ones, key):
            return self._reopen(found, tags)
        for left in open_ones:
            if left.info.status == RUNNING:
                self.client.set_terminated(left.info.run_id, "KILLED")
        tags |= {"mlflow.parentRunId": self.run_id, STAGE: stage, f"{PREFIX}kind": kind}
        return str(self.client.create_run(self.experiment_id, tags=tags, run_name=stage).info.run_id)

    def _reopen(self, run: Run, tags: Mapping[str, str]) -> str:
        self.client.update_run(run.info.run_id, status=RUNNING)
        for stale in OF_ONE_TRY:
            if PREFIX + stale in run.data.tags:
                self.client.delete_tag(run.info.run_id, PREFIX + stale)
        for name, value in tags.items():
            self.client.set_tag(run.info.run_id, name, value)
        return str(run.info.run_id)


def _of_key(runs: Iterable[Run], key: str) -> Run | None:
    """Find the run with a key, or else a run that ended before its key was known."""
    keys = {run.data.tags.get(STAGE_KEY, ""): run for run in reversed(list(runs))}
    return keys.get(key, keys.get(""))


def sort_newest_first(runs: Iterable[Run]) -> list[Run]:
    """Sort runs of stages by the time of their last try."""
    return sorted(runs, key=lambda run: (run.data.tags.get(OPENED, ""), run.info.start_time), reverse=True)


def find_newest_of_each(runs: Iterable[Run]) -> dict[str, Run]:
    """Return stage -> the run of its last try, whatever its status."""
    return {run.data.tags[STAGE]: run for run in reversed(sort_newest_first(runs)) if STAGE in run.data.tags}


def open_nightly(client: MlflowClient, experiment: str, run_key: str) -> Nightly:
    """Find the parent run of a nightly run, or start it.

    Raises:
        StillhouseError: MLflow cannot search for a character of the run key, or the run or its experiment was deleted.
    """
    found = find_nightly(client, experiment, run_key)
    return found or start_nightly(Nightly(client, experiment_of(client, experiment), ""), run_key)


def find_nightly(client: MlflowClient, experiment: str, run_key: str) -> Nightly | None:
    """Find the newest parent run of a nightly run.

    Raises:
        StillhouseError: MLflow cannot search for a character of the run key, or the run or its experiment was deleted.
    """
    if not re.fullmatch(RUN_KEY, run_key):
        msg = f"the run id {run_key!r} cannot be tracked; use letters, digits and . : + / ~ - _ only"
        raise StillhouseError(msg)
    known = find_experiment(client, experiment)
    if known is None:
        return None
    query = f"tags.`{PREFIX}run_key` = '{run_key}'"
    order = ["attributes.start_time DESC"]
    found = client.search_runs([known], query, max_results=1, order_by=order)
    if not found:
        refuse_deleted(client, known, query, f"the run {run_key}")
        return None
    return Nightly(client, known, found[0].info.run_id)


def start_nightly(before: Nightly, run_key: str) -> Nightly:
    """Start a new parent run beside an earlier one. The earlier one is closed."""
    client, experiment_id = before.client, before.experiment_id
    if before.run_id and client.get_run(before.run_id).info.status == RUNNING:
        client.set_terminated(before.run_id, "KILLED")
    run = client.create_run(experiment_id, tags={f"{PREFIX}run_key": run_key}, run_name=run_key.rsplit("/", 1)[-1])
    return Nightly(client, experiment_id, run.info.run_id)


def find_finished(client: MlflowClient, stage_key: str) -> list[Run]:
    """Find finished stage runs of any recipe with this key, newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.`{PREFIX}stage_key` = '{stage_key}' and attributes.status = '{FINISHED}'"
    return list(
        client.search_runs(
            experiments, query, ViewType.ACTIVE_ONLY, max_results=5, order_by=["attributes.start_time DESC"]
        )
    )


def page_of(tracking_uri: str, experiment_id: str, run_id: str, artifact: str | None = None) -> str:
    """Return the address of a run's page in MLflow, or of one of the run's artifacts.

    The address asks for the page layout of trained models. Otherwise MLflow 3 first shows that of chats and traces.
    """
    part = f"/artifacts/{artifact}" if artifact else ""
    return f"{tracking_uri}/#/experiments/{experiment_id}/runs/{run_id}{part}?workflowType=machine_learning"


def experiment_of(client: MlflowClient, name: str, about: str = "") -> str:
    """Find an experiment by its name, or create it with a description.

    Raises:
        StillhouseError: the experiment was deleted in MLflow. The message has the command that restores it.
    """
    found = find_experiment(client, name)
    if found is not None:
        return found
    try:
        place = _beside_database(client.tracking_uri)
        return str(client.create_experiment(name, artifact_location=place, tags={NOTE: about} if about else None))
    except MlflowException:  # another stage created it in between
        return str(client.get_experiment_by_name(name).experiment_id)


def _beside_database(tracking_uri: str) -> str | None:
    """Return where the artifacts go if MLflow is a database file. A server knows its own place: `None`."""
    if not tracking_uri.startswith(FILE):
        return None
    return (Path(tracking_uri.removeprefix(FILE)).parent / "artifacts").as_uri()
