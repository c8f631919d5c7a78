"""The gate: decide whether the student is good, small and fast enough to be registered.

The verdict is a pure function of the evaluation and the recipe's limits. A "no" is a result, not an error. Only a
metric that is missing or not a number is an error, because then nothing may be registered.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from stillhouse.models.evaluation.schema import Difference, Estimate, Evaluation
from stillhouse.models.measurement.statistics import over_seeds_and_examples
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.judging import Gate
from stillhouse.tasks.reporting.quantities import percent, percent_limit, times, times_limit

Verdict = Literal["PASS", "FAIL", "UNDECIDED"]

PARITY_LIMIT = 0.01
"""Maximum share of gate examples on which the exported student may differ from the trained one."""

AGAINST_LIMIT: Mapping[Verdict, str] = {
    "PASS": "at least the limit of",
    "FAIL": "short of the limit of",
    "UNDECIDED": "too close to call against the limit of",
}

WITHIN_LIMIT: Mapping[Verdict, str] = {
    "PASS": "within the limit of",
    "FAIL": "beyond the limit of",
    "UNDECIDED": AGAINST_LIMIT["UNDECIDED"],
}


@dataclass(frozen=True)
class Check:
    """One comparison with a limit."""

    name: str
    value: float
    limit: float
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Judgement:
    """All checks of a student, and the verdict that follows from them."""

    verdict: Verdict
    checks: tuple[Check, ...]


def judge(evaluation: Mapping[str, Any], gate: Gate) -> Judgement:
    """Compare a whole evaluation.json with the recipe's limits.

    Raises:
        ArtifactError: a metric is missing or not finite. The message names it.
    """
    measured = parse_evaluation(evaluation)
    points = () if gate.max_drop_points is None else (_points(measured.paired.gate.difference, gate.max_drop_points),)
    compared = [_comparison(measured, name, limit) for name, limit in gate.comparisons.items()]
    checks = (
        _quality(measured.ratios.quality.gate, gate.quality),
        *points,
        *compared,
        _bytes(measured.ratios.bytes, gate.bytes),
        _latency(measured.ratios.latency, gate.latency),
        _parity(measured.student.parity),
    )
    return Judgement(_overall(checks), checks)


def judge_seeds(differences: Sequence[Estimate], limit: float, confidence: float) -> Check:
    """Judge non-inferiority over several seeds.

    The interval covers training and the gate examples, which all seeds share.

    Args:
        differences: student minus teacher on the split `gate`, one for each seed, as shares. Each has its interval over
            the examples, two-sided at `2 * confidence - 1`.
        limit: maximum number of percentage points that the student may lose.
        confidence: one-sided.
    """
    values, intervals = [each.value for each in differences], [each.interval for each in differences]
    mean, (low, high) = over_seeds_and_examples(values, intervals, 2 * confidence - 1)
    return _points(Difference(value=mean, interval=(low, high), lower_bound=low), limit)


def gate_stage(job: Job) -> dict[str, float]:
    """Judge the evaluation in the inputs and write gate.json."""
    evaluation = json.loads((job.inputs["evaluation"] / "evaluation.json").read_text(encoding="utf-8"))
    judgement = judge(evaluation, job.settings["gate"])
    write_json(job.out / "gate.json", asdict(judgement))
    job.progress(f"verdict {judgement.verdict}")
    values = {check.name: check.value for check in judgement.checks}
    return values | {"passed": float(judgement.verdict == "PASS")}


def _overall(checks: tuple[Check, ...]) -> Verdict:
    verdicts = {check.verdict for check in checks}
    if "FAIL" in verdicts:
        return "FAIL"
    return "UNDECIDED" if "UNDECIDED" in verdicts else "PASS"


def _reaches(interval: tuple[float, float], limit: float) -> Verdict:
    low, high = interval
    if low >= limit:
        return "PASS"
    return "FAIL" if high < limit else "UNDECIDED"


def _quality(ratio: Estimate, limit: float) -> Check:
    verdict = _reaches(ratio.interval, limit)
    low, high = map(percent, ratio.interval)
    reason = (
        f"student keeps {percent(ratio.value)} ({low} to {high}) of the teacher's quality, "
        f"{AGAINST_LIMIT[verdict]} {percent_limit(limit)}"
    )
    return Check("quality", ratio.value, limit, verdict, reason)


def _comparison(measured: Evaluation, name: str, limit: float) -> Check:
    """Judge a comparison that only this workload has."""
    if name not in measured.comparisons:
        known = ", ".join(measured.comparisons) or "none"
        msg = f"the evaluation has no comparison {name}, it has {known}; mend comparisons in this recipe's gate"
        raise ArtifactError(msg)
    ratio = measured.comparisons[name]
    verdict = _reaches(ratio.interval, limit)
    low, high = map(percent, ratio.interval)
    reason = (
        f"{name.replace('_', ' ')} is {percent(ratio.value)} ({low} to {high}), "
        f"{AGAINST_LIMIT[verdict]} {percent_limit(limit)}"
    )
    return Check(name, ratio.value, limit, verdict, reason)


def _points(difference: Difference, limit: float) -> Check:
    """Judge non-inferiority: the one-sided bound of the student's loss, in percentage points, is within the limit."""
    best, worst = -100 * difference.interval[1], -100 * difference.lower_bound
    lost = 0.0 - 100 * difference.value
    verdict: Verdict = "PASS" if worst <= limit else "FAIL" if best > limit else "UNDECIDED"
    reason = (
        f"student loses {lost:z.2f} points of quality ({best:z.2f} to {worst:z.2f}), {WITHIN_LIMIT[verdict]} {limit:g}"
    )
    return Check("max_drop_points", lost, limit, verdict, reason)


def _latency(ratio: Estimate, limit: float) -> Check:
    verdict = _reaches(ratio.interval, limit)
    low, high = map(times, ratio.interval)
    reason = (
        f"student is {times(ratio.value)} ({low} to {high}) as fast as the teacher, "
        f"{AGAINST_LIMIT[verdict]} {times_limit(limit)}"
    )
    return Check("latency", ratio.value, limit, verdict, reason)


def _bytes(ratio: float, limit: float) -> Check:
    verdict = _reaches((ratio, ratio), limit)
    reason = f"student file is {times(ratio)} smaller than the teacher's, {AGAINST_LIMIT[verdict]} {times_limit(limit)}"
    return Check("bytes", ratio, limit, verdict, reason)


def _parity(share: float) -> Check:
    verdict: Verdict = "PASS" if share <= PARITY_LIMIT else "FAIL"
    against = "within" if verdict == "PASS" else "beyond"
    reason = (
        f"exported and trained student differ on {percent(share)} of the gate examples, "
        f"{against} the limit of {percent_limit(PARITY_LIMIT)}"
    )
    return Check("parity", share, PARITY_LIMIT, verdict, reason)
