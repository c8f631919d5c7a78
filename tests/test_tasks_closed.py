"""What is opened is closed: connections to Airflow and to a server under load, and processes that are left running."""

import gc
import json
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.processes import end, spawn
from stillhouse.tasks.local_stack.stack_record import Addresses
from stillhouse.tasks.serving.client import Body, at_most


class Handler(BaseHTTPRequestHandler):
    """Answers everything, keeps the connection open, and breaks off where it is asked to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/broken":
            self.close_connection = True
            return
        body = json.dumps({"access_token": "x", "state": "success"}).encode()
        self.send_response(500 if self.path.endswith("refused") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """Start a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def talks_to_airflow(address: str, _: Path) -> None:
    airflow = Airflow(Addresses(address, "", "admin", "x"))
    assert airflow.run_state("dag", "run") == "success"


def is_refused_by_airflow(address: str, _: Path) -> None:
    with pytest.raises(ServiceError):
        Airflow(Addresses(address, "", "admin", "x")).run_state("dag", "refused")


def finds_no_airflow(_address: str, _: Path) -> None:
    with pytest.raises(ServiceError):
        Airflow(Addresses("http://127.0.0.1:9", "", "admin", "x"))


def loads_a_server(address: str, _: Path) -> None:
    assert at_most(f"{address}/answer", [Body("application/json", b"{}")], 0.2, connections=2).milliseconds


def loads_a_server_that_breaks_off(address: str, _: Path) -> None:
    assert at_most(f"{address}/broken", [Body("application/json", b"{}")], 0.2, connections=2).lost


def loads_no_server(_address: str, _: Path) -> None:
    assert at_most("http://127.0.0.1:9/answer", [Body("application/json", b"{}")], 0.1, connections=2).lost


def starts_a_server(_address: str, folder: Path) -> None:
    server = spawn([sys.executable, "-c", "import time; time.sleep(60)"], {}, folder / "log")
    gc.collect()
    end(server.mark)


@pytest.mark.parametrize(
    "deed",
    [
        talks_to_airflow,
        is_refused_by_airflow,
        finds_no_airflow,
        loads_a_server,
        loads_a_server_that_breaks_off,
        loads_no_server,
        starts_a_server,
    ],
)
def test_nothing_is_left_open(address: str, tmp_path: Path, deed: Callable[[str, Path], None]) -> None:
    """Once a command is done with a server, Python finds neither a socket nor a process that nobody closed."""
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        deed(address, tmp_path)
        gc.collect()
    assert [str(each.message) for each in found if issubclass(each.category, ResourceWarning)] == []
