"""The embedded stack: real servers, started, damaged, repaired and stopped."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stillhouse.tasks.artifacts.locks import exclusive
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack import airflow_rest, stack
from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.local_stack.processes import end, find_marked, spawn
from stillhouse.tasks.local_stack.servers import AIRFLOW, MLFLOW, POOLS, Kind
from stillhouse.tasks.local_stack.stack_record import Addresses, recall
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.schema import expect_known, is_outdated

pytestmark = pytest.mark.serial

ROOT = Path(__file__).resolve().parent.parent


def settings_in(folder: Path) -> Settings:
    """A house whose state is a folder of the test."""
    return Settings(ROOT, folder / "state", folder / "runs", "")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack that is up, and gone afterwards."""
    settings = settings_in(tmp_path_factory.mktemp("stack"))
    stack.start(settings, print)
    yield settings
    stack.stop(settings, print)


def mark_of(settings: Settings, name: str) -> str:
    """The mark of a server's processes."""
    started = recall(settings, name)
    assert started is not None
    return started.server.mark


def part(settings: Settings, name: str) -> int:
    """The process id of one Airflow component."""
    pids = find_marked(mark_of(settings, "airflow"))
    return next(pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").endswith(name.encode()))


def kill(pid: int) -> None:
    """End a process with SIGKILL and wait until it is gone or a zombie, which takes a moment on a busy machine."""
    os.kill(pid, signal.SIGKILL)
    end_of_patience = time.monotonic() + 10
    while time.monotonic() < end_of_patience and _runs(pid):
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_pool_is_there_and_keeps_its_slots(running: Settings) -> None:
    """A start makes the pools that the stages wait for, and keeps the number of slots that somebody has set."""
    airflow = airflow_rest.Airflow(stack.addresses(running))
    assert {name: airflow.slots_of(name) for name in POOLS} == {name: slots for name, (slots, _) in POOLS.items()}
    airflow.ensure_pool("train", 5, "again")
    assert airflow.slots_of("train") == 1


def test_a_running_stack_is_kept(running: Settings) -> None:
    """Starting again keeps both servers and their addresses, and a password is known."""
    before = [mark_of(running, name) for name in ("mlflow", "airflow")]
    first, again = stack.addresses(running), stack.start(running, print)
    assert [mark_of(running, name) for name in ("mlflow", "airflow")] == before
    assert (first, stack.status(running)) == (again, {"mlflow": "up", "airflow": "up"})
    assert again.user == "admin"
    assert again.password
    assert again.password not in repr(again)


def test_secrets_are_readable_by_their_owner_only(running: Settings) -> None:
    """Nobody else can enter the folder with Airflow's password and keys, and no log repeats the password."""
    assert (running.state / "airflow").stat().st_mode & 0o077 == 0
    password = stack.addresses(running).password
    assert password not in (running.state / "stack.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [MLFLOW, AIRFLOW], ids=["mlflow", "airflow"])
def test_a_new_database_lies_in_the_state_folder(running: Settings, kind: Kind) -> None:
    """Each server makes its database in the state folder, with the newest schema that is looked for."""
    file = kind.database(running)
    expect_known(file, kind.migrations)
    assert file.is_relative_to(running.state)
    assert file.stat().st_size
    assert not is_outdated(file, kind.migrations)


@pytest.mark.long
def test_a_half_dead_stack_is_repaired(running: Settings) -> None:
    """After kill -9 of the scheduler, Airflow counts as damaged; starting replaces it and keeps MLflow."""
    mlflow, airflow = mark_of(running, "mlflow"), mark_of(running, "airflow")
    kill(part(running, "scheduler"))
    assert stack.status(running)["airflow"] == "damaged"
    stack.start(running, print)
    assert stack.status(running) == {"mlflow": "up", "airflow": "up"}
    assert mark_of(running, "mlflow") == mlflow
    assert mark_of(running, "airflow") != airflow
    assert find_marked(airflow) == []


def test_orphans_are_stopped_too(running: Settings) -> None:
    """After kill -9 of Airflow's first process, stopping ends all it had started."""
    started = recall(running, "airflow")
    assert started is not None
    kill(started.server.pid)
    assert find_marked(started.server.mark)
    stack.stop(running, print)
    assert find_marked(started.server.mark) == []
    assert stack.status(running) == {"mlflow": "down", "airflow": "down"}


def test_a_taken_port_gives_the_next_free_one() -> None:
    """A port that somebody holds is passed over, and one port is not given away twice."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = choose_ports({"one": taken, "two": taken})
    assert taken < ports["one"] < ports["two"]


def test_a_server_that_cannot_start_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When MLflow's database cannot be opened, one sentence names the server and its log."""
    monkeypatch.setattr(stack, "START_SECONDS", 5.0)
    settings = settings_in(tmp_path)
    (settings.state / "mlflow" / "mlflow.db").mkdir(parents=True)
    with pytest.raises(ServiceError, match=r"mlflow did not come up .* mend what the end of .*mlflow\.log says"):
        stack.start(settings, print)
    stack.stop(settings, print)
    assert stack.status(settings) == {"mlflow": "down", "airflow": "down"}


def test_no_stack_is_a_sentence(tmp_path: Path) -> None:
    """Asking for the addresses of a stack that never was says how to start one."""
    with pytest.raises(ServiceError, match=r"no stack was started in .*; start one with `make up`"):
        stack.addresses(settings_in(tmp_path))


def test_stopping_nothing_is_fine(tmp_path: Path) -> None:
    """Stopping where nothing runs says so and fails nothing."""
    said: list[str] = []
    stack.stop(settings_in(tmp_path), said.append)
    assert said == ["airflow was not running", "mlflow was not running"]


def test_a_second_run_is_refused_with_the_first_ones_id(tmp_path: Path) -> None:
    """A lock that is held names its holder; once free it can be had again."""
    path = tmp_path / "run.lock"
    with (
        exclusive(path, "`make run`"),
        pytest.raises(ServiceError, match=rf"`make run` is under way already in process {os.getpid()};"),
        exclusive(path, "`make run`"),
    ):
        pass
    with exclusive(path, "`make run`"):
        assert path.read_text(encoding="ascii") == str(os.getpid())


def test_a_stubborn_server_and_its_children_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ignores the request to end is killed with its child; other processes live on."""
    monkeypatch.setattr("stillhouse.tasks.local_stack.processes.GRACE_SECONDS", 0.5)
    script = "trap '' TERM; sleep 300 & while true; do sleep 300; done"
    server, other = (spawn(["bash", "-c", script], os.environ, tmp_path / "log") for _ in range(2))
    while len(find_marked(server.mark)) < 3 or len(find_marked(other.mark)) < 3:
        time.sleep(0.05)
    assert end(server.mark) == 3
    assert find_marked(server.mark) == []
    assert len(find_marked(other.mark)) == 3
    assert end(other.mark) == 3


@pytest.mark.parametrize(("locked", "asked"), [(1, 2), (9, 5)])
def test_a_locked_database_is_asked_again(monkeypatch: pytest.MonkeyPatch, locked: int, asked: int) -> None:
    """While Airflow starts its SQLite may be locked for a moment: a question is asked again, not for ever."""
    replies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            replies.append(self.path)
            busy = self.path != "/auth/token" and len(replies) <= locked + 1
            body = b'{"detail": {"reason": "Database error"}}' if busy else b'{"access_token": "x"}'
            self.send_response(500 if busy else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(airflow_rest, "BUSY_SECONDS", 0.0)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    airflow = airflow_rest.Airflow(Addresses(f"http://127.0.0.1:{server.server_port}", "", "admin", "x"))
    try:
        airflow.ensure_pool("train", 1, "")
    except ServiceError as error:
        assert "refused POST /api/v2/pools with 500" in str(error)  # noqa: PT017 - one of the two rows
    server.shutdown()
    server.server_close()
    assert replies == ["/auth/token", *["/api/v2/pools"] * asked]
