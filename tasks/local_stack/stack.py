"""The embedded stack on 127.0.0.1: an MLflow server and Airflow standalone, shared by all commands.

The stack starts missing servers, keeps working servers, and replaces damaged ones. It is for one machine and one user.
For more, use docker/.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.local_stack.processes import end, spawn
from stillhouse.tasks.local_stack.servers import AIRFLOW, MLFLOW, POOLS, Kind, password_file
from stillhouse.tasks.local_stack.stack_record import Addresses, Started, recall, remember
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.schema import expect_known, is_outdated, migrate_mlflow

START_SECONDS = 180.0
TRIES = 5
"""Number of retries with other ports if another process takes a port before our server listens there."""
PORT_TAKEN = "address already in use"
POLL_SECONDS = 0.5
SAY_EVERY_SECONDS = 4.0
Progress = Callable[[str], None]


def start(settings: Settings, progress: Progress) -> Addresses:
    """Start the whole stack, and keep each server that works.

    Raises:
        ServiceError: a server does not start, or does not know the schema of its database. The error names the file.
    """
    with waiting(_lock(settings)):
        for kind in (MLFLOW, AIRFLOW):
            expect_known(kind.database(settings), kind.migrations)
        for _ in range(TRIES):
            mlflow = _ensure(settings, "mlflow", "", progress)
            airflow = _ensure(settings, "airflow", mlflow.address, progress)
            if all(_await(server, _log(settings, server.name), progress) for server in (mlflow, airflow)):
                break
        else:
            msg = f"other processes took the servers' ports {TRIES} times; end what starts servers here, then `make up`"
            raise ServiceError(msg)
        found = addresses(settings)
        airflow_api = Airflow(found)
        for name, (slots, description) in POOLS.items():
            airflow_api.ensure_pool(name, slots, description)
    return found


def stop(settings: Settings, progress: Progress) -> None:
    """End every process of both servers, including orphans. If no server runs, nothing happens."""
    with waiting(_lock(settings)):
        for name in ("airflow", "mlflow"):
            started = recall(settings, name)
            count = end(started.server.mark) if started else 0
            progress(f"{name} stopped, {count} processes" if count else f"{name} was not running")


def status(settings: Settings) -> dict[str, str]:
    """Return the state of each server: `up`, `down` or `damaged`."""
    servers = {name: recall(settings, name) for name in ("mlflow", "airflow")}
    return {name: started.state() if started else "down" for name, started in servers.items()}


def addresses(settings: Settings) -> Addresses:
    """Return the addresses of the stack.

    Raises:
        ServiceError: the stack was never started here.
    """
    mlflow, airflow = recall(settings, "mlflow"), recall(settings, "airflow")
    if mlflow is None or airflow is None:
        msg = f"no stack was started in {settings.state}; start one with `make up`"
        raise ServiceError(msg)
    user, password = _credentials(password_file(settings))
    return Addresses(airflow.address, mlflow.address, user, password)


def _ensure(settings: Settings, name: str, tracking_uri: str, progress: Progress) -> Started:
    before = recall(settings, name)
    if before and before.tracking_uri == tracking_uri and before.state() == "up":
        return before
    if before and end(before.server.mark):
        progress(f"{name} was damaged or told an old address; starting it again")
    started = _launch(settings, name, tracking_uri, before.ports if before else {}, progress)
    remember(settings, started)
    return started


def _launch(
    settings: Settings, name: str, tracking_uri: str, remembered: dict[str, int], progress: Progress
) -> Started:
    kind = AIRFLOW if name == "airflow" else MLFLOW
    ports = choose_ports({**kind.ports, **remembered})
    environment, log = kind.environment(settings, ports, tracking_uri), _log(settings, name)
    _migrate(kind, kind.database(settings), environment, log, progress)
    server = spawn(kind.command(settings, ports), environment, log)
    return Started(name, server, ports, tracking_uri)


def _migrate(kind: Kind, database: Path, environment: Mapping[str, str], log: Path, progress: Progress) -> None:
    """Migrate a database that older code wrote. Airflow migrates its own when it starts."""
    if is_outdated(database, kind.migrations):
        progress(f"{database} has an older schema; it gets that of {kind.migrations.name}")
        if kind is MLFLOW:
            migrate_mlflow(database, environment, log)


def _await(started: Started, log: Path, progress: Progress) -> bool:
    """Wait until a server is up; returns False if another process listens at one of its ports."""
    begin = said = time.monotonic()
    while started.state() != "up":
        now, running = time.monotonic(), started.server.is_running()
        # This check comes after `running`: if a server ended because its port was taken, the other process is visible
        # by now.
        if port := started.lost_port():
            progress(f"port {port} of {started.name} was taken by another process meanwhile; choosing another")
            return False
        if not running and _has_lost_a_port(started, log):
            progress(f"a port of {started.name} was taken by another process that ended meanwhile; choosing others")
            return False
        if not running or now - begin > START_SECONDS:
            msg = (
                f"{started.name} did not come up within {now - begin:.0f} s; "
                f"mend what the end of {log} says and run `make up` again"
            )
            raise ServiceError(msg)
        if now - said >= SAY_EVERY_SECONDS:
            said = now
            progress(f"waiting for {started.name}, {now - begin:.0f} s")
        time.sleep(POLL_SECONDS)
    progress(f"{started.name} is up at {started.address}")
    return True


def _has_lost_a_port(started: Started, log: Path) -> bool:
    """Tell whether a server ended because of a port, by what it wrote since it started.

    Two stacks that start at once can take a port from each other. Then both servers end, and no process is left that
    holds a port.
    """
    written = log.read_text(encoding="utf-8", errors="replace").rpartition(started.server.mark)[2]
    return PORT_TAKEN in written.lower()


def _credentials(file: Path) -> tuple[str, str]:
    try:
        passwords: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return next(iter(passwords.items()))
    except (OSError, ValueError, StopIteration) as error:
        msg = f"{file} holds no password; delete it, then `make stop` and `make up` make a new one"
        raise ServiceError(msg) from error


def _log(settings: Settings, name: str) -> Path:
    return settings.state / "logs" / f"{name}.log"


def _lock(settings: Settings) -> Path:
    return settings.state / "stack.lock"
