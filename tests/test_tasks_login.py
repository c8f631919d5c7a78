"""What a command says if MLflow refuses the login, and where the password comes from."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from flask import Flask
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from stillhouse.tasks.access.login import explain_refusal, read_password_file
from stillhouse.tasks.access.read_only import _reads
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.connection import connect

PASSWORD = "long enough"  # noqa: S105 - of the server below


class Closed(BaseHTTPRequestHandler):
    """A server that tells its health to everybody, and everything else to `anna` with the password `long enough`."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Basic YW5uYTpsb25nIGVub3VnaA=="
        status = 200 if known or self.path == "/health" else 401
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """The address of the server."""
    server = HTTPServer(("127.0.0.1", 0), Closed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


def test_without_a_login_the_error_names_the_variables(closed: str) -> None:
    """The message says that MLflow asks for a login, and names the variables of name and password."""
    with pytest.raises(ServiceError, match="asks for a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASS"):
        connect(closed)


def test_a_wrong_password_is_told_without_the_password(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the account, and not the password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "something else")
    with pytest.raises(ServiceError, match="does not accept the password of the account anna; set ") as caught:
        connect(closed)
    assert "something else" not in str(caught.value)


def test_the_password_may_be_in_a_file(closed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The content of the file is the password, without the end of the line."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))
    assert connect(closed).tracking_uri == closed
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == PASSWORD


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be read"), ("\n", "is empty"), (b"\xff\xfe", "cannot")])
def test_a_bad_password_file_is_named(
    content: str | bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message is one sentence with the file's path."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(path))
    with pytest.raises(StillhouseError, match=rf"the file {path} of MLFLOW_TRACKING_PASSWORD_FILE {reason}.*write "):
        read_password_file()


def test_a_refused_change_names_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which MLflow answers 403 become the same sentence, and so does the answer to an upload."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    reply = requests.Response()
    reply.status_code = 403
    refusals = [
        RestException({"error_code": "PERMISSION_DENIED", "message": "no"}),
        MlflowException("failed with error code 403", error_code=PERMISSION_DENIED),
        requests.HTTPError("403", response=reply),
    ]
    for each in refusals:
        assert "does not let the account bob do this" in str(explain_refusal(each))
    with pytest.raises(ServiceError, match="the account bob"), answering():
        raise refusals[0]


def test_other_errors_are_not_explained() -> None:
    """An error of another kind keeps its own message."""
    assert explain_refusal(MlflowException("broken")) is None
    assert explain_refusal(requests.ConnectionError("down")) is None
    assert explain_refusal(ValueError("x")) is None


@pytest.mark.parametrize(
    ("method", "path", "reads"),
    [
        ("GET", "/api/2.0/mlflow/runs/get", True),
        ("POST", "/api/2.0/mlflow/runs/search", True),
        ("POST", "/ajax-api/2.0/mlflow/logged-models/search", True),
        ("POST", "/graphql", True),
        ("POST", "/api/2.0/mlflow/runs/create", False),
        ("POST", "/api/2.0/mlflow/logged-models", False),
        ("POST", "/x/api/2.0/mlflow/runs/search", False),
        ("POST", "/api/2.0/mlflow/runs/search/../create", False),
        ("PUT", "/api/2.0/mlflow/runs/search", False),
        ("PATCH", "/api/2.0/mlflow/users/update-password", False),
        ("DELETE", "/api/2.0/mlflow/registered-models/alias", False),
        ("POST", "/ajax-api/3.0/mlflow/demo/generate", False),
    ],
)
def test_only_known_requests_read(method: str, path: str, *, reads: bool) -> None:
    """A request that is not known to read counts as one that writes."""
    with Flask("test").test_request_context(path, method=method):
        assert _reads() is reads
