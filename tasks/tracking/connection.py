"""Open MLflow, which is a server that is up or a database file; the addresses of its pages."""

import logging
import os
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds

from stillhouse.tasks.access.login import expect_login, read_password_file
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.tracking.schema import MLFLOW_MIGRATIONS, expect_known, is_outdated

FILE = "sqlite:///"
"""Start of the address of an MLflow that is a database file; the absolute path follows."""
HEALTHY = "OK"
"""The whole answer of MLflow's `/health`."""


def connect(tracking_uri: str) -> MlflowClient:
    """Open MLflow. If the server is down, this fails quickly.

    Raises:
        ServiceError: no server is known, or it does not answer as MLflow does, or it refuses the login, or the file has
            another schema.
        StillhouseError: the file of the password cannot be read.
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
        read_password_file()
        _expect_healthy(tracking_uri)
        expect_login(tracking_uri)
    elif tracking_uri.startswith(FILE):
        _expect_current(Path(tracking_uri.removeprefix(FILE)))
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


def _expect_current(file: Path) -> None:
    """Check that a database file has the newest schema. No server migrates it."""
    expect_known(file, MLFLOW_MIGRATIONS)
    if is_outdated(file, MLFLOW_MIGRATIONS):
        what = f"{file} has an older schema than that of {MLFLOW_MIGRATIONS.name}"
        msg = f"{what}; copy the file, then run `.venv/bin/mlflow db upgrade {FILE}{file}`"
        raise ServiceError(msg)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def page_of(tracking_uri: str, experiment_id: str, run_id: str, artifact: str | None = None) -> str:
    """Return the address of a run's page in MLflow, or of one of the run's artifacts.

    The address asks for the page layout of trained models. Otherwise MLflow 3 first shows that of chats and traces.
    """
    part = f"/artifacts/{artifact}" if artifact else ""
    return f"{tracking_uri}/#/experiments/{experiment_id}/runs/{run_id}{part}?workflowType=machine_learning"
