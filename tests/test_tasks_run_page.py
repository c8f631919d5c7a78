"""What a nightly run shows in MLflow: names and numbers from a believable run."""

from dataclasses import replace
from typing import Any

from report_samples import broken_run, gate_result, passing_run

from stillhouse.tasks.reporting import run_page
from stillhouse.tasks.reporting.run_record import RunRecord, StageRecord
from stillhouse.tasks.reporting.summary import summarise

CHALLENGE = StageRecord(
    "compare_champion", "compare_champion", "FINISHED", metrics={"champion_churn": 0.02, "champion_bytes": 1.1}
)
LINKS = {"Report": "http://127.0.0.1:5000/report"}


def refused_run() -> RunRecord:
    """Give a run whose student is too slow."""
    gate = gate_result() | {"verdict": "FAIL"}
    gate["checks"][2] |= {"verdict": "FAIL", "reason": "student is 1.2x as fast as the teacher, short of the limit"}
    return replace(passing_run(), gate=gate, registered=None)


def described(run: RunRecord) -> str:
    return run_page.description(run.recipe, summarise(run), LINKS)


def test_the_numbers_say_smaller_faster_safer() -> None:
    """Ratios and the difference have their intervals, exact bytes have none; checks and the champion stand beside."""
    run = passing_run()
    numbers = run_page.metrics(replace(run, stages=(*run.stages, CHALLENGE)), summarise(run))
    expected: dict[str, float] = {
        "ratio_bytes": 71.29,
        "ratio_latency": 10.58,
        "ratio_latency_low": 10.31,
        "ratio_latency_high": 10.79,
        "ratio_quality_low": 0.9917,
        "difference": -0.0044,
        "difference_low": -0.00776,
        "churn": 0.0412,
        "student_bytes": 65_244,
        "check_quality": 0.9953,
        "champion_churn": 0.02,
        "looks_gate": 12.0,
        "looks_test": 2.0,
        "passed": 1.0,
    }
    assert numbers | expected == numbers
    assert "ratio_bytes_low" not in numbers


def test_a_broken_run_has_the_numbers_it_reached() -> None:
    """A run that broke before its gate has its time, did not pass, and says where it broke."""
    run = broken_run()
    numbers = run_page.metrics(run, summarise(run))
    numbers = {name: value for name, value in numbers.items() if not name.startswith("looks_")}
    assert numbers == {"passed": 0.0, "dag_seconds": run.seconds}
    assert described(run).startswith("**BROKEN**: stage step_2_prune_structured failed: the loss became NaN")
    assert "Nothing was registered." in described(run)


def test_a_refusal_names_the_checks_that_refused() -> None:
    """The page, and a tag for a column, say why; a passing run names the version that it became."""
    why = "student is 1.2x as fast as the teacher, short of the limit"
    assert described(refused_run()).startswith(f"**FAIL**: {why}.\n\n")
    assert run_page.tags(summarise(refused_run())) | {"why": why, "registered": "no"} == run_page.tags(
        summarise(refused_run())
    )
    text = described(passing_run())
    assert text.startswith("**PASS**: every check passed.")
    assert "| latency | PASS | student is 10.6x" in text
    assert "Registered as image_classification version 3, the candidate." in text
    assert "[Report](http://127.0.0.1:5000/report)" in text


def test_the_parameters_are_the_recipe() -> None:
    """Every option that was set is a parameter; so are the chain of steps and the version of the data."""
    run = passing_run()
    found = run_page.parameters(run.recipe, summarise(run))
    expected = {"seed": "7", "teacher.network.name": "residual", "steps.2.macs": "0.6", "gate.bytes": "50.0"}
    assert found | expected == found
    assert found["steps"] == "distil -> prune_structured -> quantize"
    assert found["data.version"] == summarise(run)["data_version"]
    assert "None" not in found.values()


def test_what_changed_since_is_named() -> None:
    """A parameter with another value than the run has is named; new and equal ones are not."""
    known: dict[str, Any] = {"gate.bytes": "2", "seed": "7"}
    assert run_page.list_changed(known, {"gate.bytes": "50", "seed": "7", "new": "1"}) == ["`gate.bytes`: 2 -> 50"]
