"""The login of MLflow: the file with the password, and sentences for a login or a change that MLflow refuses."""

import os
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds, read_mlflow_creds
from mlflow.utils.rest_utils import http_request
from requests import HTTPError

from stillhouse.tasks.errors import ServiceError, StillhouseError

NAME, PASSWORD, PASSWORD_FILE = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_PASSWORD_FILE"
UNKNOWN, FORBIDDEN = 401, 403
CODES = {"UNAUTHENTICATED": UNKNOWN, "PERMISSION_DENIED": FORBIDDEN}
"""MLflow's error codes for the two answers."""


def read_password_file() -> None:
    """Put the password of the file that `MLFLOW_TRACKING_PASSWORD_FILE` names into `MLFLOW_TRACKING_PASSWORD`.

    Raises:
        StillhouseError: the file is missing, cannot be read, or is empty.
    """
    name = os.environ.get(PASSWORD_FILE)
    if not name:
        return
    try:
        password = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"the file {name} of {PASSWORD_FILE} cannot be read ({reason}); write MLflow's password into it"
        raise StillhouseError(msg) from error
    if not password:
        msg = f"the file {name} of {PASSWORD_FILE} is empty; write MLflow's password into it"
        raise StillhouseError(msg)
    os.environ[PASSWORD] = password


def expect_login(tracking_uri: str) -> None:
    """Check that a server accepts the name and the password of the environment. A server without a login accepts all.

    Raises:
        ServiceError: the server refuses the login, or does not answer.
    """
    credentials = get_default_host_creds(tracking_uri)
    try:
        reply = http_request(credentials, "/version", "GET", max_retries=0, timeout=10, raise_on_status=False)
    except MlflowException as error:
        msg = f"MLflow does not answer at {tracking_uri} ({' '.join(str(error).split())[:200]}); do it again"
        raise ServiceError(msg) from error
    if reply.status_code == UNKNOWN:
        raise ServiceError(_say_unknown(tracking_uri, credentials.username))


def explain_refusal(error: BaseException) -> str | None:
    """Return one sentence if MLflow refused the login or the right to do something. Returns `None` for other errors."""
    status, name = _status_of(error), read_mlflow_creds().username
    uri = os.environ.get("MLFLOW_TRACKING_URI", "its address")
    if status == UNKNOWN:
        return _say_unknown(uri, name)
    if status == FORBIDDEN:
        who = f"the account {name}" if name else "a request without a login"
        return (
            f"MLflow at {uri} does not let {who} do this, or the thing is not there ({_one_line(error)}); "
            f"ask the administrator of that MLflow for the right, or name another account in {NAME} and {PASSWORD}"
        )
    return None


def _say_unknown(uri: str, name: str | None) -> str:
    wrong = f"does not accept the password of the account {name}" if name else "asks for a login"
    return f"MLflow at {uri} {wrong}; set {NAME} and {PASSWORD} (or {PASSWORD_FILE}) to an account of that MLflow"


def _status_of(error: BaseException) -> int | None:
    if isinstance(error, MlflowException):
        return CODES.get(str(error.error_code))
    return error.response.status_code if isinstance(error, HTTPError) and error.response is not None else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
