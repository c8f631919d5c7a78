"""The MLflow side of a nightly run: one parent run, and one child run per stage and key. They are found after a kill.

Tags tell stages apart. A stage that failed continues in its old child run, unless its key or its host differs. Each key
(recipe, data, code) has its own run, and a finished run is never opened again. Finished stages are also looked up in
MLflow for reuse, so people review exactly the runs that are reused.

Only one host writes to a child run. A worker that lost its network may go on while Airflow runs the stage again on
another host, and the late worker then changes only its own run.
"""

import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.child import Child
from stillhouse.tasks.tracking.connection import FILE
from stillhouse.tasks.tracking.deleted import find_experiment, refuse_deleted
from stillhouse.tasks.tracking.experiments import list_experiments
from stillhouse.tasks.tracking.tags import FINISHED, NOTE, OF_ONE_TRY, OPENED, PREFIX, RUNNING, STAGE, STAGE_KEY

HOST = f"{PREFIX}host"
"""Tag of a stage's run: the only host that writes to it, with that host's state folder."""
RUN_KEY = r"[\w.:+/~-]{1,250}"


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
        here = name_host()
        tags = {OPENED: datetime.now(UTC).isoformat(timespec="microseconds")} | ({STAGE_KEY: key} if key else {})
        if found := _of_key((run for run in open_ones if run.data.tags.get(HOST, here) == here), key):
            return self._reopen(found, tags)
        for left in open_ones:
            if left.info.status == RUNNING:
                self.client.set_terminated(left.info.run_id, "KILLED")
        tags |= {"mlflow.parentRunId": self.run_id, STAGE: stage, f"{PREFIX}kind": kind, HOST: here}
        return str(self.client.create_run(self.experiment_id, tags=tags, run_name=stage).info.run_id)

    def _reopen(self, run: Run, tags: Mapping[str, str]) -> str:
        self.client.update_run(run.info.run_id, status=RUNNING)
        for stale in OF_ONE_TRY:
            if PREFIX + stale in run.data.tags:
                self.client.delete_tag(run.info.run_id, PREFIX + stale)
        for name, value in tags.items():
            self.client.set_tag(run.info.run_id, name, value)
        return str(run.info.run_id)


def name_host() -> str:
    """Name this host and its state folder: the place of the checkpoints from which a stage goes on."""
    return f"{socket.gethostname()}:{load_settings().state}"


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
    experiments = [experiment.experiment_id for experiment in list_experiments(client)]
    query = f"tags.`{PREFIX}stage_key` = '{stage_key}' and attributes.status = '{FINISHED}'"
    return list(
        client.search_runs(
            experiments, query, ViewType.ACTIVE_ONLY, max_results=5, order_by=["attributes.start_time DESC"]
        )
    )


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
