"""Time of two exported files against each other, on one pinned thread.

A shared machine changes pace, so the files take turns, the fast tail (10th percentile) of each repeat is compared,
repeats are spread over time, and the ratio comes with an interval over repeats. While that interval straddles the
limit the timing goes on, up to `most` repeats; still straddling means undecided.
"""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.runtime import open_session, pin_to_one_core
from models.statistics import Interval, geometric_interval

WARM_UP_SECONDS = 0.5
CALLS_PER_TURN = 5


@dataclass(frozen=True)
class Schedule:
    """How much to time."""

    repeats: int
    most: int
    rounds: int
    pause_seconds: float
    confidence: float
    limit: float
    """The ratio that decides, which says when more repeats are worth it."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of one call at batch 1."""

    p10: float
    median: float
    p99: float
    interval: Interval


@dataclass(frozen=True)
class Comparison:
    """Baseline against candidate."""

    baseline: Times
    candidate: Times
    ratio: float
    """Baseline time / candidate time: above 1, the candidate is faster."""
    interval: Interval
    ratios: tuple[float, ...]
    """One ratio of 10th percentiles per repeat."""


def compare(baseline: Path, candidate: Path, image_NCHW: NDArray[np.uint8], schedule: Schedule) -> Comparison:
    """Time both files in turns on one pinned thread.

    Args:
        baseline: the fp32 ONNX file.
        candidate: the file that ships.
        image_NCHW: one raw image (1, C, H, W).
        schedule: how much to time.
    """
    pin_to_one_core()
    calls = (_call(baseline, image_NCHW), _call(candidate, image_NCHW))
    times: tuple[list[list[float]], list[list[float]]] = ([], [])
    while True:
        _warm_up(calls)
        for kept, milliseconds in zip(times, _repeat(calls, schedule.rounds), strict=True):
            kept.append(milliseconds)
        ratios = [np.quantile(a, 0.1) / np.quantile(b, 0.1) for a, b in zip(*times, strict=True)]
        if len(ratios) >= schedule.repeats:
            ratio, interval = geometric_interval(ratios, schedule.confidence)
            if len(ratios) >= schedule.most or not interval[0] <= schedule.limit <= interval[1]:
                break
        time.sleep(schedule.pause_seconds)
    summaries = [_times(milliseconds, schedule.confidence) for milliseconds in times]
    return Comparison(summaries[0], summaries[1], ratio, interval, tuple(map(float, ratios)))


def machine() -> dict[str, object]:
    """Describe what the times were measured on."""
    flags = _cpu_field("flags").split()
    return {
        "cpu": _cpu_field("model name") or platform.processor(),
        "instructions": [
            flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8") if flag in flags
        ],
        "load": os.getloadavg()[0],
        "threads": 1,
        "core": pin_to_one_core(),
        "onnxruntime": onnxruntime.__version__,
    }


def _call(path: Path, image_NCHW: NDArray[np.uint8]) -> Callable[[], object]:
    session = open_session(path)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image_NCHW})


def _warm_up(calls: tuple[Callable[[], object], ...]) -> None:
    end = time.perf_counter() + WARM_UP_SECONDS
    while time.perf_counter() < end:
        for call in calls:
            call()


def _repeat(calls: tuple[Callable[[], object], ...], rounds: int) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times, strict=True):
            call()
            for _ in range(CALLS_PER_TURN):
                start = time.perf_counter_ns()
                call()
                kept.append((time.perf_counter_ns() - start) / 1e6)
    return times


def _times(repeats: list[list[float]], confidence: float) -> Times:
    everything = np.concatenate([np.asarray(repeat) for repeat in repeats])
    p10, interval = geometric_interval([float(np.quantile(repeat, 0.1)) for repeat in repeats], confidence)
    return Times(p10, float(np.median(everything)), float(np.quantile(everything, 0.99)), interval)


def _cpu_field(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
