"""Load on a server: every request counts from when it was due, and one without an answer is lost."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from registry_samples import onnx_file

from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.serving.client import Body, at_most, at_rate
from stillhouse.tasks.serving.load_generator import under_load

pytestmark = pytest.mark.serial

BODIES = [Body("text/plain", b"a"), Body("text/plain", b"bad")]


class Handler(BaseHTTPRequestHandler):
    """Answers after a moment, and refuses what is bad."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or the kernel waits between them

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        time.sleep(0.02)
        self.send_response(400 if body == b"bad" else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """A server whose every answer takes 20 milliseconds."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/answer"
    server.shutdown()
    server.server_close()


def test_answers_are_timed_and_counted(address: str) -> None:
    """All requests of the rate come, none is faster than the server, and every other one was refused."""
    load = at_rate(address, BODIES, rate=50, seconds=1)
    assert len(load.milliseconds) == load.lost == 25
    assert min(load.milliseconds) >= 20
    assert set(load.answers) == {b"ok"}
    assert load.percentile(50) <= load.percentile(99)


def test_waiting_for_a_connection_counts(address: str) -> None:
    """At a rate that sixteen connections cannot keep up with, later requests take as long as they waited."""
    load = at_rate(address, BODIES[:1], rate=3000, seconds=0.3)
    assert len(load.milliseconds) == 900
    assert load.percentile(99) > 300


def test_one_connection_asks_one_after_the_other(address: str) -> None:
    """As many as one connection gets: fifty a second where each takes twenty milliseconds."""
    load = at_most(address, BODIES[:1], seconds=1, connections=1)
    assert 25 < load.rate <= 50


def test_nobody_there_is_a_loss() -> None:
    """A port at which nobody listens loses every request, and the measurement ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/answer"
    load = at_rate(address, BODIES, rate=100, seconds=0.1)
    assert (len(load.milliseconds), load.lost) == (0, 10)


@pytest.mark.long
def test_a_student_is_measured_behind_its_server(tmp_path: Path) -> None:
    """A real file answers at the steady rate without a loss; one that cannot be opened ends in a sentence."""
    pixels = Body("application/json", b'{"pixels": [[[[9, 200], [30, 4]]]]}')
    found = under_load(open_bundle(onnx_file(tmp_path / "student.onnx", 1)), [pixels])
    assert (found["lost"], found["rate"]) == (0, 200.0)
    assert found["max_rate"]["one_core"] > 200
    with pytest.raises(ServiceError, match="the server of the student answered none of 800 requests"):
        under_load(open_bundle(tmp_path / "student.onnx"), [Body("application/json", b"no pixels")])
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ServiceError, match="the server of the student did not answer within 60 s, or ended"):
        under_load(open_bundle(tmp_path / "broken.onnx"), [pixels])
