"""What a person sees of a run: the screen, the table at the end, and refusals before anything starts."""

import io
import os
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bad_recipes import BAD, SEED

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.follow import describe_state, what_broke
from stillhouse.tasks.local_stack.nightly_run import await_dag, run_nightly, start_first_night
from stillhouse.tasks.local_stack.screen import Screen
from stillhouse.tasks.local_stack.stage_runs import StageRun
from stillhouse.tasks.reporting.verdict_table import verdict_table
from stillhouse.tasks.settings import Settings

MEASURED = {"quality": 0.93, "quality_interval": [0.92, 0.94], "bytes": 4000000, "bytes_interval": [4000000, 4000000]}
SUMMARY: dict[str, Any] = {
    "verdict": "FAIL",
    "checks": [{"name": "bytes", "value": 20.5, "limit": 50, "verdict": "FAIL", "reason": "too large"}],
    "teacher": MEASURED | {"latency_ms": 1.5, "latency_ms_interval": [1.4, 1.6]},
    "student": MEASURED | {"latency_ms": 0.1, "latency_ms_interval": [0.1, 0.1]},
    "ratios": {"quality": 1.0, "quality_interval": [0.99, 1.01], "bytes": 1.0, "bytes_interval": [1.0, 1.0]}
    | {"latency": 15.0, "latency_interval": [14.0, 16.0]},
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


def task(state, **more):
    """A task instance as Airflow describes it."""
    return {"task_id": "teacher", "state": state, "try_number": 1, "duration": 12.3, "start_date": None} | more


def test_the_table_shows_checks_and_both_models():
    """The table names each check with its limit and verdict, and both models with intervals and ratios."""
    lines = verdict_table(SUMMARY).splitlines()
    assert lines[0] == "verdict: FAIL"
    assert lines[3].split() == ["bytes", "20.5", "50", "FAIL", "too", "large"]
    assert "latency_ms  1.5 (1.4 - 1.6)     0.1                 15 (14 - 16)" in lines


def test_the_table_of_a_run_without_measurements_has_the_verdict_only():
    """A run that broke before it measured has no table of models."""
    text = verdict_table(SUMMARY | {"checks": [], "teacher": None, "student": None, "ratios": None})
    assert "verdict: FAIL" in text
    assert "teacher" not in text


@pytest.mark.parametrize(
    ("instance", "run", "text"),
    [
        (task("running"), StageRun("", "", ""), "started"),
        (task("running", try_number=2), StageRun("", "", ""), "started again, attempt 2"),
        (task("success"), StageRun("", "", ""), "done in 12 s"),
        (task("success"), StageRun("", "run-1", ""), "reused, 12 s"),
        (task("up_for_retry"), StageRun("", "", "NaN"), "broke after 12 s, will be tried again: NaN"),
        (task("failed"), StageRun("", "", "disk full"), "failed after 12 s: disk full"),
        (task("skipped"), StageRun("", "", ""), "skipped"),
        (task("queued"), StageRun("", "", ""), ""),
        (task(None), StageRun("", "", ""), ""),
    ],
)
def test_each_state_of_a_stage_has_its_words(instance, run, text):
    """A stage's state is told in words, with its error when it has one."""
    assert describe_state(instance, run) == text


def test_a_broken_stage_is_named_before_the_report():
    """The stage that broke is named with its own sentence, not the report that failed because of it."""
    tasks = [task("failed", task_id="report"), task("failed"), task("upstream_failed", task_id="export")]
    assert what_broke(tasks, {"teacher": StageRun("", "", "the loss is NaN")}) == "stage teacher broke: the loss is NaN"
    assert what_broke([task("success")], {}) == ""


def test_a_terminal_shows_passing_lines_in_place():
    """On a terminal the next text replaces a passing one; lasting lines remain."""
    stream = Terminal()
    screen = Screen(stream)
    screen.passing("epoch 1")
    screen.line("done")
    assert stream.getvalue() == "\r\x1b[2K[   0 s] epoch 1\r\x1b[2K[   0 s] done\n"


def test_a_log_file_gets_passing_lines_after_a_silence_only(monkeypatch):
    """Without a terminal a passing text is written once, and only after a silence."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.passing("epoch 1")
    assert stream.getvalue() == ""
    monkeypatch.setattr("stillhouse.tasks.local_stack.screen.PASSING_SECONDS", 0.0)
    screen.passing("epoch 1")
    screen.passing("epoch 1")
    assert stream.getvalue() == "[   0 s] epoch 1\n"


def test_an_unknown_recipe_starts_nothing(monkeypatch, tmp_path, capsys):
    """A recipe that does not exist ends with one sentence and exit code 1, before any server is started."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    assert run_nightly("no_such_recipe", once=False) == 1
    assert "no_such_recipe.yaml cannot be read" in capsys.readouterr().out
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.parametrize("name", ["latin-1 text", "an empty teacher", "yes as a seed", "hour 24", "a key twice"])
def test_a_bad_recipe_is_named_at_once(monkeypatch, tmp_path, capsys, name):
    """The night of a recipe at fault ends with its fault in one sentence, before any server is started."""
    content, sentence = BAD[name]
    (tmp_path / "dags" / "recipes").mkdir(parents=True)
    (tmp_path / "dags" / "recipes" / "seed_digits.yaml").write_bytes(content)
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("STILLHOUSE_ROOT", str(tmp_path))
    assert run_nightly("seed_digits", once=False) == 1
    said = capsys.readouterr().out
    assert re.search(rf"stopped: recipe .*seed_digits\.yaml .*{sentence}", said)
    assert said.count("\n") == 1
    assert not (tmp_path / "state" / "stack.json").exists()


def iso(moment):
    return datetime.fromtimestamp(moment, UTC).isoformat()


@dataclass
class Reader(Airflow):
    """An Airflow that reads a DAG whenever it is asked to, or whose DAG file raises."""

    error: str = ""
    read: float = 0.0
    asked: list[str] = field(default_factory=list)

    def _ask(self, method, path, **_options):
        self.asked.append(path)
        if path.endswith("importErrors"):
            old = {"timestamp": iso(time.time() - 9), "filename": "nightly.py", "stack_trace": "NameError: old"}
            new = {"timestamp": iso(time.time() + 9), "filename": "nightly.py", "stack_trace": f"in x\n{self.error}\n"}
            return {"import_errors": [old, new] if self.error else [old]}
        if method == "PUT":
            self.read = time.time()
            return {}
        known = {"dag_id": "nightly_x", "is_stale": bool(self.error), "file_token": "t"}
        return known | {"last_parsed_time": iso(self.read)}


@pytest.fixture
def hurried(monkeypatch):
    """Ask Airflow without pauses, and never for long."""
    monkeypatch.setattr("stillhouse.tasks.local_stack.nightly_run.POLL_SECONDS", 0.05)
    monkeypatch.setattr("stillhouse.tasks.local_stack.nightly_run.SAME_MOMENT_SECONDS", 0.2)
    monkeypatch.setattr("stillhouse.tasks.local_stack.nightly_run.READ_SECONDS", 5.0)


@pytest.mark.parametrize("days", [-400, -1, 0, 1, 3650])
@pytest.mark.usefixtures("hurried")
def test_a_recipe_file_dated_in_the_future_is_waited_for_no_longer(tmp_path: Path, days: int):
    """Whatever date a recipe's file has, its night starts as soon as Airflow has read it after the asking."""
    path = tmp_path / "x.yaml"
    path.write_text(SEED, encoding="utf-8")
    moment = time.time() + 86_400 * days
    os.utime(path, (moment, moment))
    await_dag(Reader(), "nightly_x", [path], Screen(io.StringIO()))


@pytest.mark.usefixtures("hurried")
def test_a_dag_file_that_raises_ends_the_wait(tmp_path: Path):
    """What Airflow says of the DAG's own file ends the wait; an older error of that file does not."""
    path = tmp_path / "x.yaml"
    path.touch()
    airflow, started = Reader("NameError: name 'x' is not defined"), time.monotonic()
    with pytest.raises(ServiceError, match=r"nightly_x \(nightly\.py: NameError: name 'x' .*\); mend that"):
        await_dag(airflow, "nightly_x", [path], Screen(io.StringIO()))
    assert time.monotonic() - started < 2


def test_without_a_stack_the_command_of_the_first_night_is_named(tmp_path: Path):
    """Nothing is started that the user did not ask for."""
    settings = Settings(tmp_path, tmp_path / "state", tmp_path / "runs", "")
    said = start_first_night(settings, tmp_path / "mine.yaml", Screen(io.StringIO()))
    assert said == "no Airflow is up here; `make run RECIPE=mine` starts it, and with it the first night"
    assert not settings.state.exists()


@dataclass
class Runner(Airflow):
    """An Airflow that keeps runs by their ids, and answers a second run of an id with 409."""

    runs: list[str] = field(default_factory=list)
    known: bool = True

    def _ask(self, method, path, **options):
        assert path.startswith("/api/v2/dags/nightly_x/dagRuns")
        if method == "GET":
            return {"dag_runs": [{"dag_run_id": run} for run in self.runs[::-1]]} if self.known else {"detail": "404"}
        if options["json"]["dag_run_id"] in self.runs:
            assert options["allowed"] == 409
            return {"detail": "already exists"}
        self.runs.append(options["json"]["dag_run_id"])
        return {"dag_run_id": self.runs[-1], "state": "queued"}


def test_a_run_of_an_id_is_started_once():
    """Whoever asks second, or again because the first answer was lost, starts nothing."""
    airflow = Runner()
    assert [airflow.trigger_once("nightly_x", "first_night") for _ in range(2)] == [True, False]
    assert airflow.runs == ["first_night"]


def test_the_newest_run_of_a_dag_is_known():
    """A DAG that Airflow has not read yet has none."""
    found = [Runner(runs=runs).newest_run("nightly_x") for runs in ([], ["old", "new"])]
    assert found == [None, "new"]
    assert Runner(known=False).newest_run("nightly_x") is None
