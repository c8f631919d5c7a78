"""A call that fails says nothing: only MLflow's own answer that there is no such thing counts as a no."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.registry.versions import find_aliased, version_of
from stillhouse.tasks.tracking.answers import AbsentError, answering, download_output

RUN = "f" * 32


class Reply(NamedTuple):
    """What a server sends; `sent` bytes of it, if not all."""

    status: int
    body: str
    sent: int | None = None


def said(status: int, code: str) -> Reply:
    return Reply(status, json.dumps({"error_code": code, "message": "told by a test"}))


def page(status: int) -> Reply:
    return Reply(status, "<html>told by a proxy</html>")


RESET, SILENT = Reply(-1, ""), Reply(-2, "")
NO = {
    "no such version": said(404, "RESOURCE_DOES_NOT_EXIST"),
    "no such alias": said(400, "INVALID_PARAMETER_VALUE"),
    "not found": said(404, "NOT_FOUND"),
}
NO_ANSWER = {
    "broken server": said(500, "INTERNAL_ERROR"),
    "broken server, a page": page(500),
    "bad gateway": page(502),
    "starting": said(503, "TEMPORARILY_UNAVAILABLE"),
    "starting, a page": page(503),
    "gateway gave up": page(504),
    "deadline": said(504, "DEADLINE_EXCEEDED"),
    "too many requests": said(429, "REQUEST_LIMIT_EXCEEDED"),
    "exhausted": said(429, "RESOURCE_EXHAUSTED"),
    "login needed": said(401, "UNAUTHENTICATED"),
    "login needed, a page": page(401),
    "not allowed": said(403, "PERMISSION_DENIED"),
    "not allowed, a page": page(403),
    "a proxy's 404": page(404),
    "a gateway's 404": Reply(404, '{"detail": "Not Found"}'),
    "a gateway's numbered 404": Reply(404, '{"error_code": 404, "message": "no route"}'),
    "no such endpoint": said(404, "ENDPOINT_NOT_FOUND"),
    "a proxy's 400": page(400),
    "conflict": said(409, "RESOURCE_CONFLICT"),
    "aborted": said(409, "ABORTED"),
    "invalid state": said(500, "INVALID_STATE"),
    "lost data": said(500, "DATA_LOSS"),
    "a hotel's login page": page(200),
    "half an answer": Reply(200, '{"model_version": {"name": "tiny"}}', sent=10),
    "reset": RESET,
    "silent": SILENT,
}


class Server(ThreadingHTTPServer):
    """A server that plays MLflow, or what stands between."""

    daemon_threads = True
    replies: dict[str, Reply]
    """Part of a path -> what is sent; the first that fits."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Sends what the server was told to send."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        reply = next(reply for part, reply in self.server.replies.items() if part in self.path)
        if reply == SILENT:
            time.sleep(2)
        if reply in {RESET, SILENT}:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: reply.sent])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Start one, of which MLflow's client does not ask twice."""
    with Server(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", made.address)
        yield made
        made.shutdown()


@pytest.mark.parametrize("reply", NO.values(), ids=list(NO))
def test_a_no_of_the_registry_is_a_no(server: Server, reply: Reply) -> None:
    """What MLflow says it does not have is named as not there."""
    server.replies = {"": reply}
    client = MlflowClient(server.address)
    with pytest.raises(StillhouseError, match=r"^tiny has no version 1; choose one") as refused:
        version_of(client, "tiny", "1")
    assert not isinstance(refused.value, ServiceError)
    assert find_aliased(client, "tiny", "champion") is None


@pytest.mark.parametrize("reply", NO_ANSWER.values(), ids=list(NO_ANSWER))
def test_an_error_on_the_way_is_no_answer(server: Server, reply: Reply) -> None:
    """A server, proxy, login or line that fails is neither "no such version" nor "nothing is in production"."""
    server.replies = {"": reply}
    client = MlflowClient(server.address)
    other = r"at \S+ (?:asks for a login; set|does not let a request without a login do this)"
    for ask in (lambda: version_of(client, "tiny", "1"), lambda: find_aliased(client, "tiny", "champion")):
        with pytest.raises(
            ServiceError, match=rf"^MLflow (?:does not answer as it should \(.*; look at its log|{other})"
        ):
            ask()


@pytest.mark.parametrize("fault", ["nobody listens", "no host", "too many retries"])
def test_a_server_that_cannot_be_asked_is_no_answer(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A port without a server, an address that is none and options that the client refuses say nothing of a version."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9999" if fault == "too many retries" else "0")
    client = MlflowClient("http://a b:9" if fault == "no host" else "http://127.0.0.1:9")
    with pytest.raises(ServiceError):
        version_of(client, "tiny", "1")
    with pytest.raises(ServiceError):
        find_aliased(client, "tiny", "champion")


RUN_INFO = {
    "run": {
        "info": {"run_id": RUN, "experiment_id": "1", "status": "FINISHED", "artifact_uri": "mlflow-artifacts:/1/run"}
    }
}
CONTENT = '{"verdict": "PASS"}'
WHOLE = {
    "runs/get": Reply(200, json.dumps(RUN_INFO)),
    "artifacts?": Reply(
        200, json.dumps({"files": [{"path": "gate.json", "is_dir": False, "file_size": len(CONTENT)}]})
    ),
    "gate.json": Reply(200, CONTENT),
}


def test_a_whole_file_is_downloaded(server: Server, tmp_path: Path) -> None:
    """What MLflow lists and sends is on this host."""
    server.replies = WHOLE
    found = download_output(MlflowClient(server.address), RUN, "artifact/gate.json", tmp_path)
    assert found.read_text() == CONTENT


@pytest.mark.parametrize(
    "replies",
    [
        {"runs/get": NO["no such version"]},
        {"artifacts?": Reply(200, '{"files": []}')},
        {"artifacts?": Reply(200, '{"files": [{"path": "other.json", "is_dir": false, "file_size": 2}]}')},
        {"artifacts?": Reply(200, "{}")},
    ],
)
def test_a_file_that_mlflow_does_not_have_is_a_no(server: Server, tmp_path: Path, replies: dict[str, Reply]) -> None:
    """Without the run, or without the file in the list of its folder, the file is not there."""
    server.replies = replies | {part: reply for part, reply in WHOLE.items() if part not in replies}
    with pytest.raises(AbsentError):
        download_output(MlflowClient(server.address), RUN, "artifact/gate.json", tmp_path)


@pytest.mark.parametrize("part", list(WHOLE))
@pytest.mark.parametrize("reply", NO_ANSWER.values(), ids=list(NO_ANSWER))
def test_a_download_that_fails_on_the_way_is_no_answer(server: Server, tmp_path: Path, part: str, reply: Reply) -> None:
    """A run, a list or a file that does not come says nothing about whether it is there."""
    server.replies = WHOLE | {part: reply}
    with pytest.raises(ServiceError):
        download_output(MlflowClient(server.address), RUN, "artifact/gate.json", tmp_path)


HALF = [Reply(200, CONTENT, sent=7), Reply(200, CONTENT[:7]), Reply(200, ""), said(404, "NOT_FOUND")]


@pytest.mark.parametrize("reply", HALF)
def test_half_a_file_is_no_answer(server: Server, tmp_path: Path, reply: Reply) -> None:
    """A file that comes shorter than it is listed is neither used nor called altered."""
    server.replies = WHOLE | {"gate.json": reply}
    with pytest.raises(ServiceError):
        download_output(MlflowClient(server.address), RUN, "artifact/gate.json", tmp_path)


def test_other_errors_pass_through() -> None:
    """An error that is not of MLflow's client stays what it is."""

    def broken() -> Any:
        with answering():
            return {}["a"]

    with pytest.raises(KeyError):
        broken()
