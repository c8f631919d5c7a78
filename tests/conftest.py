"""What several files of tests share: an MLflow server, emptied after each test, and the DAG file of the nights."""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import requests
from mlflow.tracking import MlflowClient

from tasks.embedded.ports import choose_ports
from tasks.tracking import connect

SECONDS = 60.0
"""The server starts within this."""


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start an MLflow server of the test's own."""
    root, port = tmp_path_factory.mktemp("server"), choose_ports({"mlflow": 5100})["mlflow"]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{root}/mlflow.db",
        "--artifacts-destination",
        str(root / "artifacts"),
    ]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    wait_for(address)
    yield address
    process.terminate()
    process.wait()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            requests.get(f"{address}/health", timeout=1).raise_for_status()
        except requests.RequestException:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the MLflow server does not answer")


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
    return importlib.import_module("dags.nightly")
