"""What several files of tests share: an MLflow server, emptied after each test, and the DAG file of the nights."""

import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import requests
from mlflow.tracking import MlflowClient
from mlflow.tracking.request_header.databricks_request_header_provider import DatabricksRequestHeaderProvider

from stillhouse.tasks.local_stack.listeners import is_held_by, is_lost
from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.local_stack.processes import Server, end, spawn
from stillhouse.tasks.tracking.connection import connect

SECONDS = 180.0
"""The server starts within this."""
LONGEST = (
    *("test_tasks_retrieval.py", "test_tasks_spoken.py", "test_tasks_stage.py", "test_tasks_compress.py"),
    *("test_tasks_validate_recordings.py", "test_tasks_approval.py", "test_door.py"),
)
"""Files that take long. They come first, so that no worker begins one when the others have nothing left to do."""


DATA_FOLDER = "STILLHOUSE_TEST_DATA"
"""Names the folder in which all workers of a test run find the datasets that one of them has built."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the shared folder, and spare each request to MLflow a look for Databricks, which is a third of its time."""
    if not hasattr(config, "workerinput"):
        os.environ[DATA_FOLDER] = tempfile.mkdtemp(prefix="stillhouse-data-")
    DatabricksRequestHeaderProvider.in_context = lambda _: False  # type: ignore[method-assign]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(DATA_FOLDER), ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave the order as it is otherwise."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def _all_cores() -> Iterator[None]:
    """Hold every test to leave the process the cores that it had: later tests train on them, and their children too."""
    cores = os.sched_getaffinity(0)
    yield
    left = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    assert left == cores, f"the test left the process the cores {left} of {cores}; use pinned_to_one_core"


@pytest.fixture(autouse=True)
def _import_path() -> Iterator[None]:
    """Restore the import path: MLflow puts the code of a loaded model first, and new processes inherit the path."""
    before = sys.path.copy()
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def registry_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the database and the files of the MLflow server."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def registry(registry_root: Path) -> Iterator[str]:
    """Start an MLflow server of the test's own."""
    with mlflow_server(registry_root) as address:
        yield address


@contextmanager
def mlflow_server(root: Path, options: Sequence[str] = (), variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve the MLflow of a folder; another session's server may take the port meanwhile."""
    deadline = time.monotonic() + SECONDS
    while True:
        port = choose_ports({"mlflow": 5100})["mlflow"]
        server = start_server(root, port, options, variables or {})
        if comes_up(server, port, deadline):
            break
        end(server.mark)
        assert time.monotonic() < deadline, (root / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        end(server.mark)


def start_server(root: Path, port: int, options: Sequence[str], variables: Mapping[str, str]) -> Server:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{root}/mlflow.db",
        "--artifacts-destination",
        str(root / "artifacts"),
        *options,
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return spawn(command, os.environ | quiet | variables, root / "log")


def comes_up(server: Server, port: int, deadline: float) -> bool:
    """Wait until the server answers; False if it ended or somebody else listens at its port."""
    while server.is_running() and not is_lost(port, server.mark) and time.monotonic() < deadline:
        try:
            if is_held_by(port, server.mark):
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
                return True
        except requests.RequestException:
            pass
        time.sleep(0.2)
    return False


@pytest.fixture
def client(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """Give a registry without models and an audit without rows."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    client = connect(registry)
    yield client
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            client.delete_run(run.info.run_id)


@pytest.fixture(scope="module")
def nightly(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The DAG file of the nights, with an Airflow home of its own: importing Airflow writes there."""
    os.environ["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow"))
    return importlib.import_module("stillhouse.dags.nightly")
