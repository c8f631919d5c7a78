"""A night of the tiny recipe under a real scheduler, and what is asked of the house afterwards."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.processes import find_marked
from stillhouse.tasks.local_stack.stack_record import recall
from stillhouse.tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
RECIPE, DAG, ASKS = "seed_digits", "nightly_seed_digits", "promotion_seed_digits"
RECIPE_FILE = ROOT / "dags" / "recipes" / f"{RECIPE}.yaml"
WATCHER = (
    "import sys; from stillhouse.tasks.local_stack.nightly_run import run_nightly; "
    f"sys.exit(run_nightly('{RECIPE}', once=False))"
)
PATIENCE_SECONDS = 600.0
PROMPT_SECONDS = 30.0
"""From a candidate to its card, and from a yes to the champion."""


@dataclass(frozen=True)
class House:
    """A stack of the test's own, and a first run whose training was killed."""

    settings: Settings
    exit_code: int
    output: str
    summary: dict[str, Any]


def watch(settings: Settings, output: Path) -> subprocess.Popen[bytes]:
    """Start what `make run RECIPE=seed_digits` starts."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "STILLHOUSE_STATE": str(settings.state),
        "STILLHOUSE_RUNS": str(settings.runs),
    }
    with output.open("wb") as stream:
        return subprocess.Popen([sys.executable, "-c", WATCHER], env=environment, stdout=stream, stderr=stream)


def training_process(settings: Settings, watcher: subprocess.Popen[bytes], output: Path) -> int:
    """Wait until the teacher has finished two epochs, and give the id of the process that trains it."""
    log = settings.state / "logs" / "airflow.log"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (log.exists() and re.search(r"epoch [2-9]/", log.read_text(encoding="utf-8", errors="replace"))):
        assert watcher.poll() is None, output.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, output.read_text(encoding="utf-8")
        time.sleep(0.1)
    started = recall(settings, "airflow")
    assert started is not None
    return next(pid for pid in find_marked(started.server.mark) if is_task(pid))


def is_task(pid: int) -> bool:
    """Tell whether a process runs a task: its title is the task instance's id."""
    title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode()
    return re.fullmatch(r"airflow worker -- [0-9a-f-]{36}", title) is not None


def summary_of(settings: Settings) -> dict[str, Any]:
    """Read the newest run's summary."""
    content: dict[str, Any] = json.loads((settings.runs / "latest" / "summary.json").read_text(encoding="utf-8"))
    return content


def registered(settings: Settings) -> list[str]:
    """Versions of the recipe's registered model."""
    url = f"{stack.addresses(settings).mlflow}/api/2.0/mlflow/model-versions/search"
    versions = requests.get(url, timeout=30).json().get("model_versions", [])
    return [version["version"] for version in versions if version["name"] == RECIPE]


@dataclass(frozen=True)
class Question:
    """An approval that waits for somebody."""

    airflow: Airflow
    run: str

    def card(self) -> dict[str, Any]:
        """What is asked."""
        return self.airflow.question(ASKS, self.run, "approve")

    def state(self, task: str) -> str | None:
        """How a task of this promotion stands."""
        return next(t["state"] for t in self.airflow.tasks(ASKS, self.run) if t["task_id"] == task)


def waiting_question(house: House) -> Question:
    """Wait for a promotion that waits for somebody."""
    airflow = Airflow(stack.addresses(house.settings))
    deadline = time.monotonic() + PROMPT_SECONDS
    while True:
        for run in airflow.unfinished_runs(ASKS):
            found = Question(airflow, run)
            if found.state("approve") == "awaiting_input":
                return found
        assert time.monotonic() < deadline
        time.sleep(0.5)


def stillhouse(house: House, *command: str) -> subprocess.CompletedProcess[str]:
    """Call the command line without anybody at it."""
    call = [sys.executable, "-m", "stillhouse.tasks.cli", *command]
    environment = _environment(house)
    return subprocess.run(
        call, check=False, capture_output=True, text=True, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL
    )


@dataclass(frozen=True)
class Answers:
    """A running server of the champion."""

    address: str

    def ask(self, path: str, **options: Any) -> dict[str, Any]:
        """Read a page, or send something to be answered."""
        ask = requests.post if options else requests.get
        found: dict[str, Any] = ask(f"{self.address}/{path}", timeout=10, **options).json()
        return found

    def seconds_until(self, version: str, patience: float) -> float:
        """Wait until a version answers."""
        started = time.monotonic()
        while self.ask("version")["version"] != version:
            assert time.monotonic() < started + patience, self.ask("ready")
            time.sleep(0.2)
        return time.monotonic() - started


@contextmanager
def serving(house: House) -> Iterator[Answers]:
    """Serve the champion for as long as needed."""
    call = [sys.executable, "-u", "-m", "stillhouse.tasks.cli", "serve", RECIPE, "--port", "0"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=_environment(house), cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield Answers(line.rsplit(" ", 1)[-1].strip().removesuffix("/answer"))
        finally:
            process.terminate()


def _environment(house: House) -> dict[str, str]:
    environment = os.environ | {"STILLHOUSE_STATE": str(house.settings.state), "PYTHONPATH": str(ROOT / "src")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment
