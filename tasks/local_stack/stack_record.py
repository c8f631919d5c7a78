"""The record `stack.json` of the started servers, and the state of each server."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.listeners import is_held_by, is_lost
from stillhouse.tasks.local_stack.processes import Server, find_marked
from stillhouse.tasks.local_stack.servers import AIRFLOW_PARTS, HOST
from stillhouse.tasks.settings import Settings

ASK_SECONDS = 15


@dataclass(frozen=True)
class Started:
    """One server as it was started."""

    name: str
    server: Server
    ports: dict[str, int]
    tracking_uri: str
    """MLflow's address, as given to this server; empty for MLflow itself."""

    @property
    def address(self) -> str:
        """The server's address."""
        return f"http://{HOST}:{self.ports[self.name]}"

    def state(self) -> str:
        """The server's state: `up`, `down`, or `damaged` (some processes are left, but the server does not work)."""
        if not find_marked(self.server.mark):
            return "down"
        parts = AIRFLOW_PARTS if self.name == "airflow" else 0
        whole = self.server.is_running() and len(self.server.children()) >= parts
        return "up" if whole and self.is_ours() and self.lost_port() is None and self._answers() else "damaged"

    def is_ours(self) -> bool:
        """Tell whether the server's own processes listen at its address, and not those of another deployment."""
        return is_held_by(self.ports[self.name], self.server.mark)

    def lost_port(self) -> int | None:
        """Return one of the server's ports at which another process listens, or `None`."""
        return next((port for port in self.ports.values() if is_lost(port, self.server.mark)), None)

    def _answers(self) -> bool:
        path = "/health" if self.name == "mlflow" else "/api/v2/monitor/health"
        with requests.Session() as session:
            session.trust_env = False  # do not send requests for 127.0.0.1 through a proxy of the environment
            try:
                reply = session.get(self.address + path, timeout=ASK_SECONDS)
            except requests.RequestException:
                return False
        return reply.ok and "unhealthy" not in reply.text


@dataclass(frozen=True)
class Addresses:
    """The addresses of the stack, and Airflow's user. MLflow needs no login."""

    airflow: str
    mlflow: str
    user: str
    password: str = field(repr=False)


def recall(settings: Settings, name: str) -> Started | None:
    """Find a server as it was last started from this state folder.

    Raises:
        ServiceError: the record cannot be read.
    """
    path = _path(settings)
    try:
        entry = _read(path).get(name)
        if entry is None:
            return None
        return Started(name, Server(entry["pid"], entry["mark"]), dict(entry["ports"]), entry["tracking_uri"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} is not a record of servers; end the servers it spoke of by hand, delete it and run `make up`"
        raise ServiceError(msg) from error


def remember(settings: Settings, started: Started) -> None:
    """Record a started server, so that later commands find it."""
    path = _path(settings)
    entry = {**asdict(started.server), "ports": started.ports, "tracking_uri": started.tracking_uri}
    write_json(path, {**_read(path), started.name: entry})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        record: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return record


def _path(settings: Settings) -> Path:
    return settings.state / "stack.json"
