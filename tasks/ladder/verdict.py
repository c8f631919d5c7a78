"""Say in one sentence what a climb has found: the goals are met, or which limit binds and what to relax."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.reporting.quantities import percent, percent_limit, size, times, times_limit

Verdict = Literal["PASS", "FAIL", "UNDECIDED"]
FLAGS = {"quality": "--keep", "bytes": "--smaller", "latency": "--faster"}


@dataclass(frozen=True)
class Point:
    """One measured rung."""

    rung: str
    words: str
    verdict: Verdict
    quality: float
    """Student / teacher, on the gate split."""
    quality_interval: tuple[float, float]
    bytes: float
    """Teacher / student."""
    latency: float
    """Teacher time / student time."""
    latency_interval: tuple[float, float]
    size: int
    """Bytes of the student's bundle."""
    minutes: float
    """Minutes that the rung took."""


def point_of(rung: str, words: str, evaluation: Mapping[str, Any], verdict: Verdict, minutes: float) -> Point:
    """Take a point from an evaluation.json."""
    ratios = evaluation["ratios"]
    kept, speed = ratios["quality"]["gate"], ratios["latency"]
    return Point(
        rung,
        words,
        verdict,
        kept["value"],
        tuple(kept["interval"]),
        ratios["bytes"],
        speed["value"],
        tuple(speed["interval"]),
        evaluation["student"]["bytes"],
        minutes,
    )


def shortfalls(point: Point, goals: Goals) -> dict[str, float]:
    """Return by how much each goal is missed, as a logarithm of the ratio. A goal that is met has 0."""
    missed = {
        "quality": math.log(goals.keep / max(point.quality, 1e-9)),
        "bytes": math.log(goals.smaller / point.bytes),
        "latency": math.log(goals.faster / point.latency),
    }
    return {name: max(0.0, value) for name, value in missed.items()}


def choose(points: Sequence[Point], goals: Goals) -> Point:
    """Return the first point that passes. If none does, return the nearest one to the goals."""
    passed = [point for point in points if point.verdict == "PASS"]
    return passed[0] if passed else min(points, key=lambda point: sum(shortfalls(point, goals).values()))


def is_best(point: Point, points: Sequence[Point]) -> bool:
    """Tell whether no other point is at least as good in quality, bytes and time, and better in one (Pareto)."""
    own = (point.quality, point.bytes, point.latency)
    others = [(other.quality, other.bytes, other.latency) for other in points]
    return not any(all(o >= p for o, p in zip(other, own, strict=True)) and other != own for other in others)


def say_verdict(point: Point, goals: Goals, basis: str) -> str:
    """Return the verdict as one line.

    Args:
        point: the chosen point.
        goals: what was asked for.
        basis: what the quality is, such as `agreement with the teacher`.
    """
    low, high = map(percent, point.quality_interval)
    what = (
        f"{point.words}: keeps {percent(point.quality)} ({low} to {high}) of {basis}, {times(point.bytes)} smaller "
        f"({size(point.size)}), {times(point.latency)} as fast"
    )
    if point.verdict == "PASS":
        return f"PASS: {what}"
    return f"{point.verdict}: nearest is {what}; {_advise(point, goals)}"


def _advise(point: Point, goals: Goals) -> str:
    missed = {name: value for name, value in shortfalls(point, goals).items() if value}
    if not missed:
        return "the measurements do not decide; run it on a quiet machine, or with more data"
    binding = max(missed, key=missed.__getitem__)
    reached = {"quality": percent(point.quality), "bytes": times(point.bytes), "latency": times(point.latency)}
    wanted = {
        "quality": percent_limit(goals.keep),
        "bytes": times_limit(goals.smaller),
        "latency": times_limit(goals.faster),
    }
    relax = {
        "quality": f"{math.floor(1000 * point.quality_interval[0]) / 10:g}%",
        "bytes": f"{math.floor(10 * point.bytes) / 10:g}x",
        "latency": f"{math.floor(10 * point.latency_interval[0]) / 10:g}x",
    }
    flag = FLAGS[binding]
    return (
        f"what binds is {flag} {wanted[binding]} ({reached[binding]} here): give more --minutes or more data, or relax "
        f"it to {flag} {relax[binding]}"
    )
