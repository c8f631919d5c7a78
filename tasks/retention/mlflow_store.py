"""Delete runs and versions of one MLflow in two steps, each of which may be repeated after a kill.

First a run is marked: it gets a tag, and MLflow takes it for deleted. From then on no stage finds it, so a run whose
artifacts are half gone is never reused. Then MLflow's own garbage collection deletes its rows and its artifacts. The
garbage collection gets the ids of marked runs only, so a run that a person deleted can still be restored.
"""

import os
from collections.abc import Container, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_run.local_store import local_database
from stillhouse.tasks.local_stack.servers import MLFLOW
from stillhouse.tasks.local_stack.stack_record import recall
from stillhouse.tasks.retention.discard import size_of
from stillhouse.tasks.retention.facts import StageRun, Version, search_all
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.connection import FILE
from stillhouse.tasks.tracking.experiments import list_experiments
from stillhouse.tasks.tracking.tags import PREFIX

MARK = f"{PREFIX}collected"
"""Tag of a run that `stillhouse gc` deleted: when."""
DATABASE = "MLFLOW_BACKEND_STORE_URI"
"""MLflow's own variable: the database of a server that Stillhouse did not start."""
PROXIED = "mlflow-artifacts"
ABSENT = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class Store:
    """One MLflow, and where its database and its files are."""

    client: MlflowClient
    database: str
    """Address of the database; empty if it is not known here."""
    artifacts: Path | None = None
    """Folder behind the artifacts of the server; `None` if they are not files of this host."""

    def files_of(self, artifact_uri: str) -> Path | None:
        """Return the folder of a run's artifacts, or `None` if it is not on this host."""
        parts = urlsplit(artifact_uri)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        if parts.scheme == PROXIED and self.artifacts and not parts.netloc:
            return self.artifacts / parts.path.lstrip("/")
        return None


def open_server(settings: Settings, client: MlflowClient) -> Store:
    """Describe the MLflow that is in use: a database file, the embedded server, or another server."""
    uri, database = settings.tracking_uri, MLFLOW.database(settings)
    if uri.startswith(FILE):
        return Store(client, uri)
    started = recall(settings, "mlflow")
    if started and started.address == uri and started.is_ours():
        return Store(client, f"{FILE}{database}", database.with_name("artifacts"))
    return Store(client, os.environ.get(DATABASE, ""))


def open_local(settings: Settings) -> Store | None:
    """Describe the MLflow of runs without a server; `None` if there were none."""
    database = local_database(settings)
    uri = f"{FILE}{database}"
    return Store(MlflowClient(uri, registry_uri=uri), uri) if database.exists() else None


def bytes_of_runs(store: Store, runs: Iterable[StageRun]) -> int:
    """Add the sizes of the artifacts of some runs and of their logged models, as far as they are files of this host."""
    return sum(size_of(folder) for run in runs for folder in _folders(store, run.artifact_uri, run.models))


def _folders(store: Store, artifact_uri: str, models: Iterable[str]) -> list[Path]:
    """List the folders of a run and of the models that it logged."""
    artifacts = store.files_of(artifact_uri)
    if artifacts is None:
        return []
    run = artifacts.parent
    return [run, *(run.parent / "models" / model for model in models)]


def mark(store: Store, versions: Iterable[Version], runs: Iterable[StageRun]) -> None:
    """Take versions out of the registry, then mark runs as deleted.

    Raises:
        ServiceError: MLflow does not answer. The rest is marked the next time.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with answering():
        for version in versions:
            store.client.delete_model_version(version.model, version.number)
        for run in runs:
            store.client.set_tag(run.run_id, MARK, now)
            store.client.delete_run(run.run_id)


def unmark(store: Store, needed: Container[str]) -> None:
    """Restore the marked runs that are needed after all, because a stage on another host has begun to reuse them.

    Raises:
        ServiceError: MLflow does not answer.
    """
    for run in list_marked(store):
        if run.info.run_id in needed:
            with answering():
                store.client.restore_run(run.info.run_id)
                store.client.delete_tag(run.info.run_id, MARK)


def list_marked(store: Store) -> list[Run]:
    """List the marked runs that MLflow still has, also those that an earlier collection left when it was killed."""
    with answering():
        everywhere = [each.experiment_id for each in list_experiments(store.client, ViewType.ALL)]
        return [run for run in search_all(store.client, everywhere, ViewType.DELETED_ONLY) if MARK in run.data.tags]


def delete_marked(store: Store) -> int:
    """Delete the marked runs, and the models that they logged, as `mlflow gc` does. Returns the number of runs.

    Raises:
        ServiceError: the database of MLflow is not known here, or MLflow cannot delete in it.
    """
    marked = list_marked(store)
    if not marked:
        return 0
    if not store.database:
        msg = (
            f"{len(marked)} runs are marked as deleted in {store.client.tracking_uri}, whose database is not known "
            f"here; set {DATABASE} and do it again, or run `mlflow gc` where that server runs"
        )
        raise ServiceError(msg)
    try:
        _collect(store, marked)
    except (MlflowException, SQLAlchemyError, RequestException, BotoCoreError, ClientError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        msg = f"MLflow could not delete what is marked ({reason}); mend that and run `stillhouse gc --delete` again"
        raise ServiceError(msg) from error
    for run in marked:
        for folder in _folders(store, run.info.artifact_uri or "", _models_of(run)):
            _remove_empty(folder)
    return len(marked)


def _collect(store: Store, marked: Sequence[Run]) -> None:
    """Delete the models first: only the rows of a run name the models that it logged."""
    database = SqlAlchemyStore(store.database, "")
    try:
        _gc(database, models=[each for run in marked for each in _models_of(run) if _is_marked(database, each)])
        _gc(database, runs=[run.info.run_id for run in marked])
    finally:
        database.engine.dispose()


def _gc(database: SqlAlchemyStore, runs: Sequence[str] = (), models: Sequence[str] = ()) -> None:
    """Call what the command `mlflow gc` calls, for these runs and models only.

    The command itself also deletes each experiment that a person deleted. Such a person may want it back, and the
    audit is an experiment.
    """
    from mlflow.cli import _gc_tracking_resources  # takes seconds to import

    with redirect_stdout(StringIO()):
        _gc_tracking_resources(
            database,
            run_ids=list(runs),
            experiment_ids=None,
            logged_model_ids=list(models),
            older_than=None,
            time_delta=0,
            skip_experiments=True,
            skip_logged_models=False,
        )


def _is_marked(database: SqlAlchemyStore, model: str) -> bool:
    """Mark a logged model as deleted. Returns False if an earlier collection has deleted it already."""
    try:
        database.delete_logged_model(model)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return False
    return True


def _models_of(run: Run) -> list[str]:
    return [model.model_id for model in run.outputs.model_outputs] if run.outputs else []


def _remove_empty(folder: Path) -> None:
    """Remove a folder that MLflow has emptied."""
    for each in (folder / "artifacts", folder):
        if each.is_dir() and not any(each.iterdir()):
            each.rmdir()
