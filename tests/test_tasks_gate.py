"""The gate, by hand-written tables."""

import json
from pathlib import Path
from typing import Any

import pytest
from report_samples import GATE, estimate, evaluation

from stillhouse.models.evaluation.schema import Estimate
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.judging.gate import Check, gate_stage, judge, judge_seeds
from stillhouse.tasks.pipeline.job import Job


def changed(path: str, value: Any) -> dict[str, Any]:
    """Give a passing evaluation with one place changed; the value `...` removes it."""
    whole = evaluation()
    *parents, last = path.split(".")
    place = whole
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return whole


def check_of(raw: dict[str, Any], name: str) -> Check:
    """Give the named check of a judged evaluation."""
    return next(check for check in judge(raw, GATE).checks if check.name == name)


def test_a_good_student_passes_every_check() -> None:
    """A student on the good side of every limit passes."""
    judgement = judge(evaluation(), GATE)
    assert judgement.verdict == "PASS"
    assert [(c.name, c.verdict) for c in judgement.checks] == [
        ("quality", "PASS"),
        ("bytes", "PASS"),
        ("latency", "PASS"),
        ("parity", "PASS"),
    ]


@pytest.mark.parametrize(
    ("name", "path", "value", "verdict"),
    [
        ("quality", "ratios.quality.gate", estimate(0.995, 0.99, 0.999), "PASS"),
        ("quality", "ratios.quality.gate", estimate(0.995, 0.9899, 0.999), "UNDECIDED"),
        ("quality", "ratios.quality.gate", estimate(0.985, 0.98, 0.99), "UNDECIDED"),
        ("quality", "ratios.quality.gate", estimate(0.985, 0.98, 0.9899), "FAIL"),
        ("latency", "ratios.latency", estimate(10.4, 10.0, 11.0), "PASS"),
        ("latency", "ratios.latency", estimate(10.4, 9.9, 11.0), "UNDECIDED"),
        ("latency", "ratios.latency", estimate(9.0, 8.0, 9.99), "FAIL"),
        ("bytes", "ratios.bytes", 50.0, "PASS"),
        ("bytes", "ratios.bytes", 49.99, "FAIL"),
        ("parity", "student.parity", 0.0, "PASS"),
        ("parity", "student.parity", 0.01, "PASS"),
        ("parity", "student.parity", 0.0101, "FAIL"),
    ],
)
def test_a_check_compares_its_interval_with_its_limit(name: str, path: str, value: Any, verdict: str) -> None:
    """PASS needs the whole interval on the good side and FAIL the whole of it on the bad side."""
    judgement = judge(changed(path, value), GATE)
    assert {c.name: c.verdict for c in judgement.checks}[name] == verdict
    assert judgement.verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.005, 0.001, "PASS"), (-0.0051, 0.001, "UNDECIDED"), (-0.009, -0.005, "UNDECIDED"), (-0.009, -0.0051, "FAIL")],
)
def test_a_limit_in_points_is_judged_by_the_bound_of_the_loss(low: float, high: float, verdict: str) -> None:
    """With at most half a point to lose, PASS needs the lower bound of the difference at or above -0.005."""
    raw = changed("paired.gate.difference", estimate(-0.004, low, high) | {"lower_bound": low})
    judgement = judge(raw, GATE.model_copy(update={"max_drop_points": 0.5}))
    assert {c.name: c.verdict for c in judgement.checks}["max_drop_points"] == verdict
    assert judgement.verdict == verdict


def test_a_loss_is_told_in_points() -> None:
    """The reason of the check `points` holds loss, interval and limit, and its value is the loss."""
    judgement = judge(evaluation(), GATE.model_copy(update={"max_drop_points": 1.0}))
    check = next(check for check in judgement.checks if check.name == "max_drop_points")
    assert check.reason == "student loses 0.44 points of quality (0.11 to 0.78), within the limit of 1"
    assert (check.value, check.limit) == (pytest.approx(0.44), 1.0)


def test_no_loss_has_no_sign() -> None:
    """Equal quality is told as 0.00 points, not as minus 0.00."""
    raw = changed("paired.gate.difference", estimate(0.0, -0.018, 0.018) | {"lower_bound": -0.018})
    check = next(
        c for c in judge(raw, GATE.model_copy(update={"max_drop_points": 2.0})).checks if c.name == "max_drop_points"
    )
    assert check.reason.startswith("student loses 0.00 points of quality (-1.80 to 1.80)")


def test_a_failed_check_outweighs_an_undecided_one() -> None:
    """The run fails when one check fails and another is undecided."""
    raw = changed("ratios.bytes", 12.0)
    raw["ratios"]["latency"] = estimate(10, 9, 11)
    assert judge(raw, GATE).verdict == "FAIL"


def test_the_test_split_does_not_decide() -> None:
    """The gate judges the gate split; of an older evaluation that had looked at the test split too it reads nothing."""
    old = changed("ratios.quality.sealed", estimate(0.5, 0.4, 0.6))
    assert judge(old, GATE).verdict == "PASS"
    assert "test" not in parse_evaluation(old).model_dump_json()


@pytest.mark.parametrize(
    ("name", "path", "value", "reason"),
    [
        (
            "quality",
            "ratios.quality.gate",
            estimate(0.9921, 0.9905, 0.995),
            "student keeps 99.21 % (99.05 % to 99.50 %) of the teacher's quality, at least the limit of 99 %",
        ),
        (
            "latency",
            "ratios.latency",
            estimate(9.98, 9.1, 10.94),
            "student is 9.98× (9.1× to 10.9×) as fast as the teacher, too close to call against the limit of 10×",  # noqa: RUF001
        ),
        (
            "bytes",
            "ratios.bytes",
            12.5,
            "student file is 12.5× smaller than the teacher's, short of the limit of 50×",  # noqa: RUF001
        ),
        (
            "parity",
            "student.parity",
            0.02,
            "exported and trained student differ on 2.00 % of the gate examples, beyond the limit of 1 %",
        ),
    ],
)
def test_a_reason_says_the_numbers_in_words(name: str, path: str, value: Any, reason: str) -> None:
    """Each reason holds value, interval and limit."""
    assert check_of(changed(path, value), name).reason == reason


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("ratios.quality.gate.value", ..., "has nothing at ratios.quality.gate.value"),
        ("ratios.latency", ..., "has nothing at ratios.latency"),
        ("student.parity", ..., "has nothing at student.parity"),
        ("ratios.quality.gate.value", float("nan"), "has nan at ratios.quality.gate.value"),
        ("ratios.latency.interval", [9.0, float("inf")], "has inf at ratios.latency.interval.1"),
        ("ratios.bytes", None, "has None at ratios.bytes"),
        ("ratios.bytes", -3.0, "has -3.0 at ratios.bytes"),
        ("ratios.latency.interval", [11.0, 9.0], "at ratios.latency"),
        ("paired.gate.difference.lower_bound", ..., "has nothing at paired.gate.difference.lower_bound"),
        ("student.serving.peak_bytes", float("nan"), "has nan at student.serving.peak_bytes"),
    ],
)
def test_a_metric_that_cannot_be_used_is_named(path: str, value: Any, named: str) -> None:
    """A missing, infinite or impossible metric stops the gate with its name and the remedy."""
    with pytest.raises(ArtifactError) as caught:
        judge(changed(path, value), GATE)
    assert named in str(caught.value)
    assert str(caught.value).endswith("nothing is registered; run evaluate again with force")
    assert "\n" not in str(caught.value)


def over_seeds(points: tuple[float, ...], examples: float) -> list[Estimate]:
    """Give one difference a seed, each with as many points of doubt about the gate's examples to either side."""
    return [Estimate(value=each / 100, interval=((each - examples) / 100, (each + examples) / 100)) for each in points]


@pytest.mark.parametrize(
    ("points", "examples", "limit", "verdict"),
    [
        ((-0.4, -0.5, -0.6), 0.0, 0.7, "PASS"),
        ((-0.4, -0.5, -0.6), 0.0, 0.66, "UNDECIDED"),
        ((-0.4, -0.5, -0.6), 0.0, 0.3, "FAIL"),
        ((0.1, 0.3), 0.0, 0.0, "UNDECIDED"),
        ((-0.4, -0.5, -0.6), 0.3, 0.7, "UNDECIDED"),
        ((-0.4, -0.5, -0.6), 0.3, 0.85, "PASS"),
        ((-0.4, -0.5, -0.6), 0.3, 0.84, "UNDECIDED"),
        ((-0.4, -0.5, -0.6), 0.3, 0.16, "UNDECIDED"),
        ((-0.4, -0.5, -0.6), 0.3, 0.15, "FAIL"),
        ((-0.5, -0.5, -0.5), 0.3, 0.8, "PASS"),
        ((-0.5, -0.5, -0.5), 0.3, 0.79, "UNDECIDED"),
    ],
)
def test_seeds_that_agree_do_not_pass_on_too_few_examples(
    points: tuple[float, ...], examples: float, limit: float, verdict: str
) -> None:
    """For -0.4, -0.5 and -0.6 the seeds alone leave 2.919986 * 0.1 / sqrt 3 = 0.169 points of doubt.

    With 0.3 of the examples, which all seeds share, it is sqrt(0.169**2 + 0.3**2) = 0.344, so 0.844 may be lost.
    """
    check = judge_seeds(over_seeds(points, examples), limit, 0.95)
    assert check.verdict == verdict
    assert check.value == pytest.approx(-sum(points) / len(points))


def test_the_reason_of_seeds_says_their_bound() -> None:
    """The reason gives the mean loss with both ends of its interval, both doubts in it."""
    reason = "student loses 0.50 points of quality (0.16 to 0.84), within the limit of 0.85"
    assert judge_seeds(over_seeds((-0.4, -0.5, -0.6), 0.3), 0.85, 0.95).reason == reason


def stage_job(folder: Path, raw: dict[str, Any], lines: list[str]) -> Job:
    """Lay out a gate stage's folders; what it shows goes to `lines`."""
    (folder / "evaluate").mkdir()
    (folder / "out").mkdir()
    (folder / "evaluate" / "evaluation.json").write_text(json.dumps(raw), encoding="utf-8")
    return Job(
        settings={"gate": GATE},
        inputs={"evaluation": folder / "evaluate"},
        out=folder / "out",
        scratch=folder,
        shared=folder,
        progress=lines.append,
        record=lambda _step, _metrics: None,
    )


def test_the_stage_leaves_its_verdict(tmp_path: Path) -> None:
    """The stage writes gate.json and gives every check's value and whether it passed."""
    lines: list[str] = []
    metrics = gate_stage(stage_job(tmp_path, changed("ratios.bytes", 12.0), lines))
    written = json.loads((tmp_path / "out" / "gate.json").read_text(encoding="utf-8"))
    assert metrics == {"quality": 0.9953, "bytes": 12.0, "latency": 10.58, "parity": 0.0018, "passed": 0.0}
    assert written["verdict"] == "FAIL"
    assert written["checks"][1] == {
        "name": "bytes",
        "value": 12.0,
        "limit": 50.0,
        "verdict": "FAIL",
        "reason": check_of(changed("ratios.bytes", 12.0), "bytes").reason,
    }
    assert lines == ["verdict FAIL"]


def test_the_stage_leaves_nothing_after_a_nan(tmp_path: Path) -> None:
    """A NaN that evaluate wrote reaches no gate.json."""
    job = stage_job(tmp_path, changed("ratios.latency.value", float("nan")), [])
    with pytest.raises(ArtifactError, match=r"nan at ratios\.latency\.value"):
        gate_stage(job)
    assert not list((tmp_path / "out").iterdir())


ASKED = {"backward_compatibility": 0.95}


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.95, 0.99, "PASS"), (0.949, 0.99, "UNDECIDED"), (0.9, 0.949, "FAIL")]
)
def test_a_comparison_of_the_workload_is_judged_by_its_interval(low: float, high: float, verdict: str) -> None:
    """What only the workload compares is enough when the whole interval says so."""
    found = {"backward_compatibility": estimate((low + high) / 2, low, high)}
    judgement = judge(evaluation() | {"comparisons": found}, GATE.model_copy(update={"comparisons": ASKED}))
    assert {check.name: check.verdict for check in judgement.checks}["backward_compatibility"] == verdict


def test_a_comparison_that_was_not_measured_is_an_error() -> None:
    """A gate that asks for it names what there is and the key to mend."""
    with pytest.raises(ArtifactError, match="no comparison backward_compatibility, it has none; mend comparisons"):
        judge(evaluation(), GATE.model_copy(update={"comparisons": ASKED}))
