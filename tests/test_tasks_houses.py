"""Two houses on one host, with real processes: each calls only its own servers its own.

The servers are stand-ins that take a moment before they listen, as the real ones do; one test of LONG=1 takes those.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stillhouse.tasks.cli import main as cli
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.listeners import is_held_by, is_lost
from stillhouse.tasks.local_stack.processes import Server, end, spawn
from stillhouse.tasks.local_stack.servers import Kind
from stillhouse.tasks.local_stack.stack_record import Started, recall, remember
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.schema import MLFLOW_MIGRATIONS

pytestmark = pytest.mark.serial

ROOT = Path(__file__).resolve().parent.parent
SERVER = """
import json, os, secrets, socket, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

port, password_file, logs = int(sys.argv[1]), Path(sys.argv[2]), [int(port) for port in sys.argv[3:]]
password_file.parent.mkdir(parents=True, exist_ok=True)
password_file.write_text(json.dumps({"admin": secrets.token_hex(8)}))
password = json.loads(password_file.read_text())["admin"]
parts = [subprocess.Popen(["sleep", "300"]) for _ in range(4)]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say(200)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.say(401 if self.path == "/auth/token" and password not in body else 200)

    def say(self, status):
        body = b'{"access_token": "x"}'
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

time.sleep(1.0)
HTTPServer.allow_reuse_address = True
server = HTTPServer(("127.0.0.1", port), Handler)
held = []
for log in logs:
    each = socket.socket()
    try:
        each.bind(("0.0.0.0", log))
        each.listen()
    except OSError:
        continue  # as Airflow goes on without
    held.append(each)
server.serve_forever()
"""


def stand_in(names: Sequence[str]) -> Kind:
    """A server that listens a second after its start; its password is its house's."""

    def command(settings: Settings, ports: dict[str, int]) -> list[str]:
        password = settings.state / "airflow" / "simple_auth_manager_passwords.json.generated"
        password = password if "airflow" in names else settings.state / "mlflow" / "none"
        return [sys.executable, "-c", SERVER, str(ports[names[0]]), str(password), *(str(ports[n]) for n in names[1:])]

    first = free_port()
    return Kind(
        {name: first + place for place, name in enumerate(names)},
        command,
        lambda *_: dict(os.environ),
        lambda settings: settings.state / names[0] / "none.db",
        MLFLOW_MIGRATIONS,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def houses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settings]]:
    """Two state folders whose servers are stand-ins and prefer the same ports."""
    monkeypatch.setattr(stack, "MLFLOW", stand_in(["mlflow"]))
    monkeypatch.setattr(stack, "AIRFLOW", stand_in(["airflow", "airflow_worker_logs", "airflow_trigger_logs"]))
    monkeypatch.setattr(stack, "POLL_SECONDS", 0.1)
    found = [Settings(ROOT, tmp_path / name / "state", tmp_path / name / "runs", "") for name in ("first", "second")]
    yield found
    for settings in found:
        stack.stop(settings, lambda _: None)


def at_once(calls: Sequence[Callable[[], object]]) -> list[object]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def quiet(settings: Settings) -> Callable[[], object]:
    return lambda: stack.start(settings, lambda _: None)


def started(settings: Settings, name: str) -> Started:
    found = recall(settings, name)
    assert found is not None
    return found


@contextmanager
def stranger(port: int) -> Iterator[None]:
    """Somebody else's server at a port, which answers every question with a good status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_two_houses_started_at_once_have_servers_of_their_own(houses: list[Settings]) -> None:
    """Both come up, no server is shared, and each knows the password of its own Airflow."""
    at_once([quiet(settings) for settings in houses])
    assert [stack.status(settings) for settings in houses] == [{"mlflow": "up", "airflow": "up"}] * 2
    used = [{port for name in ("mlflow", "airflow") for port in started(s, name).ports.values()} for s in houses]
    assert [len(ports) for ports in used] == [4, 4]
    assert not used[0] & used[1]
    assert all(started(s, "airflow").tracking_uri == started(s, "mlflow").address for s in houses)


def test_one_house_started_twice_at_once_has_one_set_of_servers(houses: list[Settings]) -> None:
    """The second start waits for the first and keeps its servers."""
    first, second = at_once([quiet(houses[0]), quiet(houses[0])])
    assert first == second
    assert stack.status(houses[0]) == {"mlflow": "up", "airflow": "up"}


def spawn_beaten(name: str, taken: list[int], strangers: ExitStack) -> Callable[..., Server]:
    """Start servers; a stranger takes the first port of one of them before it listens."""

    def spawn_late(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Server:
        if log.stem == name and not taken:
            taken.append(int(command[3]))
            strangers.enter_context(stranger(taken[0]))
        return spawn(command, environment, log)

    return spawn_late


@pytest.mark.parametrize("name", ["mlflow", "airflow"])
def test_a_port_taken_before_the_server_listens_is_left_to_its_taker(
    houses: list[Settings], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A stranger who answers well at the chosen port is not called ours; the server gets another port."""
    settings, said, taken = houses[0], list[str](), list[int]()
    with ExitStack() as strangers:
        monkeypatch.setattr(stack, "spawn", spawn_beaten(name, taken, strangers))
        stack.start(settings, said.append)
        assert stack.status(settings) == {"mlflow": "up", "airflow": "up"}
        assert started(settings, name).ports[name] > taken[0]
        assert started(settings, "airflow").tracking_uri == started(settings, "mlflow").address
    assert f"port {taken[0]} of {name} was taken by another process meanwhile; choosing another" in said


@pytest.mark.parametrize("name", ["mlflow", "airflow"])
def test_a_port_whose_taker_is_gone_again_is_known_by_the_log(
    houses: list[Settings], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Two houses that take a port from each other both end; none that holds it is left to be seen."""
    settings, said, taken = houses[0], list[str](), list[int]()
    monkeypatch.setattr(Started, "lost_port", lambda _: None)
    with ExitStack() as strangers:
        monkeypatch.setattr(stack, "spawn", spawn_beaten(name, taken, strangers))
        stack.start(settings, said.append)
        assert stack.status(settings) == {"mlflow": "up", "airflow": "up"}
    assert f"a port of {name} was taken by another process that ended meanwhile; choosing others" in said


@pytest.mark.parametrize("name", ["airflow_worker_logs", "airflow_trigger_logs"])
def test_a_log_server_without_its_port_is_damage(houses: list[Settings], name: str) -> None:
    """Airflow whose log server lost its port to somebody else counts as damaged, and the next start mends it."""
    settings = houses[0]
    stack.start(settings, lambda _: None)
    whole = started(settings, "airflow")
    lost = free_port()
    remember(settings, replace(whole, ports={**whole.ports, name: lost}))
    with stranger(lost):
        assert stack.status(settings)["airflow"] == "damaged"
        stack.start(settings, lambda _: None)
        assert stack.status(settings)["airflow"] == "up"
        assert started(settings, "airflow").ports[name] != lost


def test_commands_of_a_stopped_house_do_not_ask_the_one_that_took_its_port(
    houses: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second house took the first one's port; the first one's commands know of no MLflow until it is up again."""
    first, second = houses
    stack.start(first, lambda _: None)
    stack.stop(first, lambda _: None)
    stack.start(second, lambda _: None)
    assert started(second, "mlflow").address == started(first, "mlflow").address
    for settings, address in ((first, None), (second, started(second, "mlflow").address)):
        monkeypatch.setenv("STILLHOUSE_STATE", str(settings.state))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        cli._find_mlflow()  # noqa: SLF001 - what every command does first
        assert os.environ.get("MLFLOW_TRACKING_URI") == address
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_recycled_process_id_is_not_our_server(tmp_path: Path) -> None:
    """A record whose process id belongs to somebody else by now means down, and stopping ends nobody."""
    settings = Settings(ROOT, tmp_path, tmp_path, "")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        remember(settings, Started("mlflow", Server(os.getpid(), "0123456789abcdef"), {"mlflow": port}, ""))
        assert stack.status(settings)["mlflow"] == "down"
        said: list[str] = []
        stack.stop(settings, said.append)
        assert said == ["airflow was not running", "mlflow was not running"]


LISTEN = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
time.sleep(300)
"""


@pytest.mark.parametrize(
    ("ours", "theirs", "answers"),
    [
        ("127.0.0.1", None, "ours"),
        ("0.0.0.0", None, "ours"),  # noqa: S104 - of a test
        ("::", None, "ours"),
        ("::1", None, None),  # which nobody hears who asks 127.0.0.1
        ("127.0.0.2", None, None),
        (None, "127.0.0.1", "theirs"),
        (None, "0.0.0.0", "theirs"),  # noqa: S104 - of a test
        (None, "::", "theirs"),
        ("127.0.0.2", "127.0.0.1", "theirs"),
        (None, None, None),
    ],
)
def test_the_holder_of_a_port_is_known(
    tmp_path: Path, ours: str | None, theirs: str | None, answers: str | None
) -> None:
    """Of all who listen at a port it is known whose process gets what is sent to 127.0.0.1."""
    port = free_port()
    call = [sys.executable, "-c", LISTEN]
    own, other = (spawn([*call, at, str(port)], os.environ, tmp_path / "log") if at else None for at in (ours, theirs))
    mark = own.mark if own else "none"
    deadline, found = time.monotonic() + 10, "unknown"
    while time.monotonic() < deadline and found != answers:
        time.sleep(0.5 if answers is None else 0.05)
        found = "ours" if is_held_by(port, mark) else "theirs" if is_lost(port, mark) else None
    assert (is_held_by(port, mark), is_lost(port, mark)) == (answers == "ours", answers == "theirs")
    for each in filter(None, (own, other)):
        assert end(each.mark)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "1", '"text"', '{"mlflow": 1}', '{"mlflow": []}', '{"mlflow": {}}',
        '{"mlflow": {"pid": 1, "mark": "x", "tracking_uri": ""}}',
        '{"mlflow": {"pid": 1, "mark": "x", "ports": 5, "tracking_uri": ""}}',
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    """A damaged stack.json is one sentence with its path and the remedy."""
    (tmp_path / "stack.json").write_text(content, encoding="utf-8")
    with pytest.raises(ServiceError, match=r"stack\.json is not a record of servers; .* delete it and run `make up`"):
        recall(Settings(ROOT, tmp_path, tmp_path, ""), "mlflow")


@pytest.mark.long
def test_two_real_houses_started_at_once(tmp_path: Path) -> None:
    """With MLflow and Airflow themselves: both houses come up, with ports of their own and a login that works."""
    found = [Settings(ROOT, tmp_path / name / "state", tmp_path / name / "runs", "") for name in ("first", "second")]
    try:
        at_once([quiet(settings) for settings in found])
        assert [stack.status(settings) for settings in found] == [{"mlflow": "up", "airflow": "up"}] * 2
        assert json.loads((found[0].state / "stack.json").read_text()) != json.loads(
            (found[1].state / "stack.json").read_text()
        )
    finally:
        for settings in found:
            stack.stop(settings, lambda _: None)
