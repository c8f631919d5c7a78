"""The tiny recipe under a real scheduler: killed once, finished, reused, and refused when asked wrongly."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from data_samples import built_digits

from models.export import INPUT, OUTPUT
from models.inputs.images import load_images
from tasks.embedded import stack
from tasks.embedded.airflow_rest import Airflow
from tasks.embedded.processes import marked
from tasks.embedded.stack_record import recall
from tasks.errors import ServiceError
from tasks.pipeline import stages_of
from tasks.recipe import load_recipe
from tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
RECIPE, DAG, ASKS = "seed_digits", "nightly_seed_digits", "promotion_seed_digits"
WATCHER = (
    f"import sys; from tasks.embedded.nightly_run import run_nightly; sys.exit(run_nightly('{RECIPE}', once=False))"
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


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run the recipe once, with kill -9 of the training process after its first epochs."""
    folder = tmp_path_factory.mktemp("house")
    settings = Settings(ROOT, folder / "state", folder / "runs", "")
    try:
        watcher = watch(settings, folder / "output")
        os.kill(training_process(settings, watcher, folder / "output"), signal.SIGKILL)
        exit_code = watcher.wait(PATIENCE_SECONDS)
        yield House(settings, exit_code, (folder / "output").read_text(encoding="utf-8"), summary_of(settings))
    finally:
        stack.stop(settings, print)


def watch(settings: Settings, output: Path) -> subprocess.Popen[bytes]:
    """Start what `make run RECIPE=seed_digits` starts."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
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
    return next(pid for pid in marked(started.server.mark) if is_task(pid))


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


def test_a_killed_training_is_taken_up_again(house: House) -> None:
    """After kill -9 of the training process, the run completes at the second attempt and exits 0."""
    assert house.exit_code == 0, house.output
    assert "teacher: broke after" in house.output
    assert "teacher: started again, attempt 2" in house.output


def test_the_run_ends_with_a_verdict_and_a_report(house: House) -> None:
    """The tiny student passes its gate, and the numbers stand in summary.json beside the report."""
    summary = house.summary
    assert (summary["recipe"], summary["verdict"], summary["error"]) == (RECIPE, "PASS", None)
    assert {check["verdict"] for check in summary["checks"]} == {"PASS"}
    assert summary["teacher"]["quality"] > 0.9
    assert summary["ratios"]["bytes"] > 100
    assert (house.settings.runs / "latest" / "report.html").exists()


def test_only_the_data_of_the_recipe_is_in_the_remote(house: House) -> None:
    """The run fills its remote with the recipe's dataset and no other."""
    assert len(list((house.settings.state / "remote").rglob("*.dir"))) == 1


def test_the_watcher_shows_the_stages_and_where_to_look(house: House) -> None:
    """The output has a line per stage, the verdict, the report's path and both addresses with credentials."""
    addresses = stack.addresses(house.settings)
    for stage in stages_of(load_recipe(ROOT / "dags" / "recipes" / f"{RECIPE}.yaml")):
        assert re.search(rf"^\[ *\d+ s\] {stage.name}: done in", house.output, re.MULTILINE), stage.name
    assert "verdict: PASS" in house.output
    assert f"{addresses.airflow}  user admin, password {addresses.password}" in house.output
    assert addresses.mlflow in house.output
    assert "report.html" in house.output


def test_exactly_one_version_is_registered(house: House) -> None:
    """The student is registered once, as the candidate, although its run had been killed."""
    assert registered(house.settings) == [house.summary["mlflow"]["version"]]
    assert house.summary["mlflow"]["alias"] == "candidate"


def test_a_second_run_reuses_everything(house: House, tmp_path: Path) -> None:
    """With nothing changed every reusable stage is reused, and no second version is registered."""
    watcher = watch(house.settings, tmp_path / "output")
    exit_code = watcher.wait(PATIENCE_SECONDS)
    output = (tmp_path / "output").read_text(encoding="utf-8")
    assert exit_code == 0, output
    summary = summary_of(house.settings)
    stages = stages_of(load_recipe(ROOT / "dags" / "recipes" / f"{RECIPE}.yaml"))
    assert set(summary["reused"]) == {stage.name for stage in stages if stage.reusable}
    assert "teacher: reused" in output
    assert registered(house.settings) == [house.summary["mlflow"]["version"]]


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


@pytest.fixture(scope="module")
def question(house: House) -> Question:
    """The promotion that the first run's candidate woke, once it waits."""
    airflow = Airflow(stack.addresses(house.settings))
    deadline = time.monotonic() + PROMPT_SECONDS
    while True:
        for run in airflow.unfinished_runs(ASKS):
            found = Question(airflow, run)
            if found.state("approve") == "awaiting_input":
                return found
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_the_candidate_is_offered_with_its_card(house: House, question: Question) -> None:
    """Registering woke the promotion, whose card has the verdict, the checks and the addresses."""
    card = question.card()
    assert card["subject"] == f"Promote {RECIPE} version {house.summary['mlflow']['version']}?"
    assert card["options"] == ["Approve", "Reject"]
    assert f"## {RECIPE} version {house.summary['mlflow']['version']}: PASS" in card["body"]
    for check in house.summary["checks"]:
        assert check["reason"] in card["body"]
    assert f"[MLflow run]({stack.addresses(house.settings).mlflow}/#/experiments/" in card["body"]


def test_a_yes_is_served_promptly_and_the_champion_answers(
    house: House, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An approved candidate becomes the champion within 30 seconds, loads there without a pickle, and is right."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.addresses(house.settings).mlflow)
    asked = time.monotonic()
    question.airflow.answer(ASKS, question.run, "approve", "Approve")
    while question.airflow.run_state(ASKS, question.run) != "success":
        assert time.monotonic() < asked + PROMPT_SECONDS
        time.sleep(0.2)
    champion = mlflow.pyfunc.load_model(f"models:/{RECIPE}-production@champion")
    sealed = load_images(built_digits(), "sealed")
    logits = champion.predict({INPUT: sealed.images_NCHW})[OUTPUT]
    assert (logits.argmax(1) == sealed.labels_N).mean() == pytest.approx(house.summary["student"]["quality"], abs=0.01)
    with pytest.raises(ServiceError, match="409"):
        question.airflow.answer(ASKS, question.run, "approve", "Reject")


def test_the_command_line_tells_the_audit_and_what_is_live(house: House) -> None:
    """`stillhouse audit` finds the embedded MLflow and names who said yes; promoting again changes nothing."""
    version = house.summary["mlflow"]["version"]
    assert "promote   - -> 1  admin: approved" in stillhouse(house, "audit", RECIPE).stdout
    said = stillhouse(house, "promote", RECIPE, "--yes").stdout
    assert said == f"{RECIPE} version {version} is the champion already; nothing changed\n"
    refused = stillhouse(house, "rollback", RECIPE)
    assert (refused.returncode, refused.stderr) == (1, "stillhouse: nobody is there to ask; say --yes\n")


def stillhouse(house: House, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"STILLHOUSE_STATE": str(house.settings.state), "PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    call = [sys.executable, "-m", "tasks.cli", *command]
    return subprocess.run(
        call, check=False, capture_output=True, text=True, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL
    )


def test_an_unknown_conf_key_ends_the_run_at_once(house: House) -> None:
    """A conf key that no param declares fails the run without a retry; nothing is registered."""
    airflow = Airflow(stack.addresses(house.settings))
    run = airflow.trigger(DAG, {"tracking_uri": "http://elsewhere"})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while airflow.run_state(DAG, run) not in {"success", "failed"}:
        assert time.monotonic() < deadline
        time.sleep(1)
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks(DAG, run)}
    assert states["pull"] == ("failed", 1)
    assert states["teacher"][0] == "upstream_failed"
    assert airflow.run_state(DAG, run) == "failed"
    assert registered(house.settings) == [house.summary["mlflow"]["version"]]
