"""What a person sees of a run: the screen, the table at the end, and refusals before anything starts."""

import io
from typing import Any

import pytest

from tasks.embedded.follow import happened, what_broke
from tasks.embedded.nightly_run import run_nightly
from tasks.embedded.screen import Screen
from tasks.embedded.stage_runs import StageRun
from tasks.embedded.verdict_table import verdict_table

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
    assert happened(instance, run) == text


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
    monkeypatch.setattr("tasks.embedded.screen.PASSING_SECONDS", 0.0)
    screen.passing("epoch 1")
    screen.passing("epoch 1")
    assert stream.getvalue() == "[   0 s] epoch 1\n"


def test_an_unknown_recipe_starts_nothing(monkeypatch, tmp_path, capsys):
    """A recipe that does not exist ends with one sentence and exit code 1, before any server is started."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    assert run_nightly("no_such_recipe", once=False) == 1
    assert "no_such_recipe.yaml cannot be read" in capsys.readouterr().out
    assert not (tmp_path / "stack.json").exists()
