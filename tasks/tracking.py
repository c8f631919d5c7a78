"""The MLflow side of a nightly run: one parent run, one child run per stage, found again after a kill.

Stages are told apart by tags; a stage that is tried again goes on in the child run it had. MLflow is also where
finished stages are looked up for reuse, so what people review and what is reused are one thing.
"""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from mlflow.entities import Metric, Run, RunStatus, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.artifact import VOLATILE
from tasks.bin import find_experiment, refuse_deleted
from tasks.errors import ServiceError, StillhouseError
from tasks.progress import ProgressLog

RUN_KEY = r"[\w.:+/~-]{1,250}"
PREFIX = "stillhouse."
ARTIFACT = "artifact"
"""Where a stage's output folder lies among its run's artifacts."""
BATCH = 500
"""Most metrics that MLflow takes in one call."""
NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run or an experiment, as Markdown."""
FINISHED = RunStatus.to_string(RunStatus.FINISHED)


def connect(tracking_uri: str) -> MlflowClient:
    """Open MLflow, without waiting long for a server that is not there.

    Raises:
        ServiceError: the server does not answer.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # what we do, we say ourselves
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    if tracking_uri.startswith("http"):
        _expect_healthy(tracking_uri)
    return MlflowClient(tracking_uri)


def _expect_healthy(tracking_uri: str) -> None:
    try:
        requests.get(f"{tracking_uri}/health", timeout=10).raise_for_status()
    except requests.RequestException as error:
        msg = f"MLflow does not answer at {tracking_uri}; start it with `make up` or mend MLFLOW_TRACKING_URI"
        raise ServiceError(msg) from error


@dataclass
class Child:
    """The MLflow run of one stage."""

    client: MlflowClient
    run_id: str
    _unsent: list[Metric] = field(default_factory=list)
    _log: ProgressLog = field(init=False)

    def __post_init__(self) -> None:
        """Begin without lines."""
        self._log = ProgressLog(self.client, self.run_id)

    def progress(self, line: str) -> None:
        """Keep one line, and show it to whoever is waiting unless another was shown within the second."""
        if self._log.add(line):
            self._send()

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the numbers of one epoch."""
        now = int(time.time() * 1000)
        self._unsent += [Metric(name, value, now, step) for name, value in metrics.items()]

    def flush(self) -> None:
        """Send what was recorded and every line."""
        self._send()
        self._log.flush()

    def _send(self) -> None:
        for start in range(0, len(self._unsent), BATCH):
            self.client.log_batch(self.run_id, self._unsent[start : start + BATCH])
        self._unsent.clear()

    def say_where(self, folder: Path, tracking_uri: str) -> None:
        """Print where people find the output, and the Data Docs if it has them, of a server that has pages."""
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
    def child(self, stage: str, kind: str) -> Iterator[Child]:
        """Open a stage's run; it ends FINISHED, or FAILED with the sentence, or stays open after a kill."""
        child = Child(self.client, self._find_or_start(stage, kind))
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

    def _find_or_start(self, stage: str, kind: str) -> str:
        for run in self.children():
            if run.data.tags.get(f"{PREFIX}stage") == stage:
                self.client.update_run(run.info.run_id, status="RUNNING")
                for stale in ("error", "reused_from"):
                    if PREFIX + stale in run.data.tags:
                        self.client.delete_tag(run.info.run_id, PREFIX + stale)
                return str(run.info.run_id)
        tags = {"mlflow.parentRunId": self.run_id, f"{PREFIX}stage": stage, f"{PREFIX}kind": kind}
        return str(self.client.create_run(self.experiment_id, tags=tags, run_name=stage).info.run_id)


def open_nightly(client: MlflowClient, experiment: str, run_key: str) -> Nightly:
    """Find the parent run of a nightly run, or start it.

    Raises:
        StillhouseError: the run key has characters that MLflow cannot search for, or its run or experiment was deleted.
    """
    if not re.fullmatch(RUN_KEY, run_key):
        msg = f"the run id {run_key!r} cannot be tracked; use letters, digits and . : + / ~ - _ only"
        raise StillhouseError(msg)
    experiment_id = experiment_of(client, experiment)
    found = client.search_runs([experiment_id], f"tags.`{PREFIX}run_key` = '{run_key}'", max_results=1)
    if found:
        return Nightly(client, experiment_id, found[0].info.run_id)
    refuse_deleted(client, experiment_id, f"tags.`{PREFIX}run_key` = '{run_key}'", f"the run {run_key}")
    run = client.create_run(experiment_id, tags={f"{PREFIX}run_key": run_key}, run_name=run_key.rsplit("/", 1)[-1])
    return Nightly(client, experiment_id, run.info.run_id)


def finished_with_key(client: MlflowClient, stage_key: str) -> list[Run]:
    """Find finished stage runs of any recipe with this key, newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.`{PREFIX}stage_key` = '{stage_key}' and attributes.status = '{FINISHED}'"
    return list(
        client.search_runs(
            experiments, query, ViewType.ACTIVE_ONLY, max_results=5, order_by=["attributes.start_time DESC"]
        )
    )


def page_of(tracking_uri: str, experiment_id: str, run_id: str, artifact: str | None = None) -> str:
    """Give the address of a run's page in MLflow, or of one of its artifacts there.

    It asks for the layout of trained models: without, MLflow 3 shows a newcomer the one of chats and traces.
    """
    part = f"/artifacts/{artifact}" if artifact else ""
    return f"{tracking_uri}/#/experiments/{experiment_id}/runs/{run_id}{part}?workflowType=machine_learning"


def experiment_of(client: MlflowClient, name: str, about: str = "") -> str:
    """Find an experiment by its name, or start it with a description.

    Raises:
        StillhouseError: it was deleted in MLflow; gives the command that brings it back.
    """
    found = find_experiment(client, name)
    if found is not None:
        return found
    try:
        return str(client.create_experiment(name, tags={NOTE: about} if about else None))
    except MlflowException:  # another stage made it in between
        return str(client.get_experiment_by_name(name).experiment_id)
