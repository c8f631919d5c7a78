"""Messages: one for each event, to whoever is connected, and never a failure of what they tell of."""

import importlib
import json
import logging
import os
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any, ClassVar

import pytest


@pytest.fixture(scope="module")
def notify(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module, with an Airflow home of its own."""
    os.environ["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow"))
    return importlib.import_module("stillhouse.dags.notify")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """A webhook that keeps what it is sent, connected as `stillhouse_webhook`."""
    received: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, json.loads(body)))
            self.send_response(200 if self.path.startswith("/services") else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    connect(monkeypatch, host, "/services/T0/secret")
    yield received
    server.shutdown()
    server.server_close()


def connect(monkeypatch: pytest.MonkeyPatch, host: str, password: str) -> None:
    content = {"conn_type": "http", "host": host, "password": password}
    monkeypatch.setenv("AIRFLOW_CONN_STILLHOUSE_WEBHOOK", json.dumps(content))


def test_a_webhook_gets_one_message_with_the_reason(notify: ModuleType, hook: list[tuple[str, Any]]) -> None:
    """What is posted is Slack's form, to the address with its secret part."""
    notify.tell("refused", "tiny", "the verdict is FAIL: student is 4x as fast")
    text = "[refused] tiny: the verdict is FAIL: student is 4x as fast"
    assert hook == [("/services/T0/secret", {"text": text})]


class PostOffice(socketserver.StreamRequestHandler):
    """As much of an SMTP server as one mail needs."""

    received: ClassVar[list[str]] = []

    def handle(self) -> None:
        """Take one mail."""
        self.wfile.write(b"220 here\r\n")
        while (line := self.rfile.readline().decode().strip().upper()) != "QUIT":
            self.wfile.write(b"354 go on\r\n" if line == "DATA" else b"250 fine\r\n")
            if line == "DATA":
                self.received.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"250 kept\r\n")
        self.wfile.write(b"221 bye\r\n")


def test_a_mail_goes_to_whom_the_connection_names(
    notify: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real SMTP dialogue delivers one mail, whose subject and body are the message."""
    extra = {
        "to": "night@example.org",
        "from_email": "stillhouse@example.org",
        "disable_ssl": True,
        "disable_tls": True,
    }
    with socketserver.TCPServer(("127.0.0.1", 0), PostOffice) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.server_address[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_STILLHOUSE_MAIL", json.dumps(connection))
        notify.tell("refused", "tiny", "4 < 10")
    (content,) = PostOffice.received
    mail = message_from_string(content)
    assert (mail["To"], mail["Subject"]) == ("night@example.org", "[refused] tiny: 4 < 10")
    body = mail.get_payload(0).get_payload(decode=True)  # type: ignore[union-attr, index]
    assert body == b"[refused] tiny: 4 &lt; 10"
    assert [record for record in caplog.records if record.levelno == logging.WARNING] == []


def test_without_a_connection_the_log_has_it(notify: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is connected: the message is a line of the log, and no warning."""
    with caplog.at_level(logging.INFO, "stillhouse.dags.notify"):
        notify.tell("promoted", "tiny", "version 2 is the champion")
    assert [record.getMessage() for record in caplog.records] == ["[promoted] tiny: version 2 is the champion"]


@pytest.mark.parametrize(
    ("host", "path"), [("http://127.0.0.1:9", "/services"), ("no such://", ""), (None, "/refused")]
)
def test_a_dead_channel_is_a_warning_without_secrets(  # noqa: PLR0913, PLR0917 - fixtures and a row
    notify: ModuleType,
    hook: list[tuple[str, Any]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    host: str | None,
    path: str,
) -> None:
    """A server that is away, an address that is none and a refusal fail nothing, and tell nothing secret."""
    server = json.loads(os.environ["AIRFLOW_CONN_STILLHOUSE_WEBHOOK"])["host"]
    connect(monkeypatch, host or server, f"{path}/hidden")
    with caplog.at_level(logging.INFO, "stillhouse.dags.notify"):
        notify.tell("promoted", "tiny", "version 2 is the champion")
    assert len(hook) == (host is None)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "no message was sent to stillhouse_webhook" in warning.getMessage()
    assert "hidden" not in caplog.text
