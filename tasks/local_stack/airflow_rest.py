"""A small client of Airflow's REST API, logged in as `admin`."""

import time
from datetime import datetime
from typing import Any

import requests

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.stack_record import Addresses

ASK_SECONDS = 60
BUSY_TRIES, BUSY_SECONDS = 5, 2.0
"""Number of retries and pause in seconds if SQLite is locked. In that case nothing was written."""


class Airflow:
    """A logged-in client of one Airflow."""

    def __init__(self, addresses: Addresses) -> None:
        """Log in.

        Raises:
            ServiceError: Airflow does not answer, or refuses the password.
        """
        self._base = addresses.airflow
        self._session = requests.Session()
        self._session.trust_env = False  # do not send requests for 127.0.0.1 through a proxy of the environment
        name = {"username": addresses.user, "password": addresses.password}
        token = self._ask("POST", "/auth/token", json=name)["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool, unless a pool of that name exists."""
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        self._ask("POST", "/api/v2/pools", allowed=409, json=pool)

    def slots_of(self, pool: str) -> int:
        """Return the number of slots of a pool."""
        return int(self._ask("GET", f"/api/v2/pools/{pool}")["slots"])

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Describe a DAG; `None` if Airflow has not read its file yet."""
        answer = self._ask("GET", f"/api/v2/dags/{dag_id}", allowed=404)
        return answer if "dag_id" in answer else None

    def import_errors(self, since: float = 0.0) -> list[str]:
        """List the DAG files whose newest read failed after a moment (in epoch seconds), with the reasons."""
        errors = self._ask("GET", "/api/v2/importErrors")["import_errors"]
        newer = [error for error in errors if datetime.fromisoformat(error["timestamp"]).timestamp() > since]
        return [f"{error['filename']}: {(error['stack_trace'].strip().splitlines() or ['?'])[-1]}" for error in newer]

    def reparse(self, file_token: str) -> None:
        """Ask Airflow to read a DAG file again soon. A repeated request is harmless."""
        self._ask("PUT", f"/api/v2/parseDagFile/{file_token}", allowed=409)

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start, including scheduled runs."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        body = {"logical_date": None, "conf": conf}
        return str(self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def trigger_once(self, dag_id: str, run_id: str) -> bool:
        """Start a run with an id of our own. Returns whether it is new; a run of that id is never started again."""
        body: dict[str, Any] = {"dag_run_id": run_id, "logical_date": None, "conf": {}}
        return "state" in self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", allowed=409, json=body)

    def newest_run(self, dag_id: str) -> str | None:
        """Return the id of the newest run; `None` if there is none, or if the DAG is not known yet."""
        answer = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=1&order_by=-run_after", allowed=404)
        return next((str(run["dag_run_id"]) for run in answer.get("dag_runs", [])), None)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: queued, running, success or failed."""
        return str(self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def unfinished_runs(self, dag_id: str) -> list[str]:
        """Return the ids of queued and running runs, oldest first."""
        path = f"/api/v2/dags/{dag_id}/dagRuns?state=queued&state=running&order_by=run_after"
        return [run["dag_run_id"] for run in self._ask("GET", path)["dag_runs"]]

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Describe the task instances of a run: task_id, state, try_number and more."""
        answer = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        instances: list[dict[str, Any]] = answer["task_instances"]
        return instances

    def question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Read a task's question to a person: subject, body, options and more."""
        return self._ask("GET", _details(dag_id, run_id, task_id))

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer a task's question. A second answer is refused."""
        body = {"chosen_options": [option], "params_input": {}}
        self._ask("PATCH", _details(dag_id, run_id, task_id), json=body)

    def _ask(self, method: str, path: str, *, allowed: int = 200, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        reply = self._reply(method, path, **options)
        for _ in range(BUSY_TRIES - 1):
            if reply.status_code != requests.codes.server_error or "Database error" not in reply.text:
                break
            time.sleep(BUSY_SECONDS)
            reply = self._reply(method, path, **options)
        if not reply.ok and reply.status_code != allowed:
            detail = " ".join(reply.text.split())[:300]
            msg = f"Airflow refused {method} {path} with {reply.status_code} ({detail}); mend the request or `make up`"
            raise ServiceError(msg)
        answer: dict[str, Any] = reply.json() if reply.content else {}
        return answer if isinstance(answer, dict) else {}

    def _reply(self, method: str, path: str, **options: Any) -> requests.Response:  # noqa: ANN401
        try:
            return self._session.request(method, self._base + path, timeout=ASK_SECONDS, **options)
        except requests.RequestException as error:
            msg = f"Airflow at {self._base} does not answer; `make up` starts it again"
            raise ServiceError(msg) from error


def _details(dag_id: str, run_id: str, task_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
