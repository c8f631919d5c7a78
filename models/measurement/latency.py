"""Compare the latency of two exported files on one pinned thread.

The speed of a shared machine changes. So the files are timed in turns, the 10th percentiles of each repeat are
compared, the repeats are spread over time, and the ratio has an interval over the repeats. A file compared with itself
must give 1, so no position may have an advantage. The first file changes every round. Both files are opened again for
every repeat, in changing order, so that the effect of memory placement varies between repeats and widens the interval.

While the interval contains the limit, the timing continues, up to `most` repeats. If the interval still contains the
limit then, the result is undecided. Looking several times and stopping at a good result raises the error rate, so the
confidence is divided over the looks (Bonferroni). The interval contains the true ratio at least as often as
`confidence` says.
"""

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.measurement.statistics import Interval, geometric_interval
from stillhouse.models.runtime.session import last_core, open_session, pin_to_one_core

CALLS_PER_TURN = 5
WINDOW_ROUNDS = 10
STEADY = 0.03
"""The warm-up ends when the 10th percentiles of two consecutive windows differ by at most this share."""
LONGEST_WARM_UP_SECONDS = 3.0

Call = Callable[[], object]


@dataclass(frozen=True)
class Schedule:
    """How much to time."""

    repeats: int
    most: int
    rounds: int
    pause_seconds: float
    confidence: float
    """Two-sided confidence of the interval over repeats, whatever the number of looks."""
    limit: float
    """The ratio that decides. More repeats are timed while the interval contains it."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of one call at batch 1."""

    p10: float
    median: float
    p99: float
    interval: Interval


@dataclass(frozen=True)
class Comparison:
    """Latency of the baseline against the candidate."""

    baseline: Times
    candidate: Times
    ratio: float
    """Baseline time / candidate time. Above 1, the candidate is faster."""
    interval: Interval
    ratios: tuple[float, ...]
    """One ratio of 10th percentiles per repeat."""
    unsteady: int
    """Number of repeats that began although the warm-up never became steady."""


Opener = Callable[[], Call]
"""Opens a file or model again and returns a call that computes one answer."""


def compare(baseline: Path, candidate: Path, raw: NDArray[np.generic], schedule: Schedule) -> Comparison:
    """Time two files in turns on one pinned thread.

    Args:
        baseline: the fp32 ONNX file.
        candidate: the file that ships.
        raw: one raw image (1, C, H, W) or sentence (1, L).
        schedule: how much to time.
    """
    return compare_calls((partial(open_call, baseline, raw), partial(open_call, candidate, raw)), schedule)


def compare_calls(openers: tuple[Opener, Opener], schedule: Schedule) -> Comparison:
    """Time any two calls, a baseline and a candidate, in turns on one pinned thread."""
    with pin_to_one_core():
        return _compare(openers, schedule)


def _compare(openers: tuple[Opener, Opener], schedule: Schedule) -> Comparison:
    times: tuple[list[list[float]], list[list[float]]] = ([], [])
    unsteady = 0
    while True:
        calls = _opened(openers, backwards=len(times[0]) % 2 == 1)
        unsteady += not _warm_up(calls)
        for kept, milliseconds in zip(times, _rounds(calls, schedule.rounds), strict=True):
            kept.append(milliseconds)
        ratios = [_p10(a) / _p10(b) for a, b in zip(*times, strict=True)]
        if _is_look(len(ratios), schedule):
            ratio, interval = geometric_interval(ratios, confidence_per_look(schedule))
            if len(ratios) >= schedule.most or not interval[0] <= schedule.limit <= interval[1]:
                break
        time.sleep(schedule.pause_seconds)
    summaries = [_times(milliseconds, schedule.confidence) for milliseconds in times]
    return Comparison(summaries[0], summaries[1], ratio, interval, tuple(ratios), unsteady)


def confidence_per_look(schedule: Schedule) -> float:
    """Divide the allowed error over the looks at 1, 2, 3... times `repeats` and at `most` repeats (Bonferroni)."""
    looks = math.ceil(schedule.most / schedule.repeats)
    return 1 - (1 - schedule.confidence) / looks


def machine() -> dict[str, object]:
    """Describe the machine of the measurement."""
    flags = _cpu_field("flags").split()
    return {
        "cpu": _cpu_field("model name") or platform.processor(),
        "instructions": [
            flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8") if flag in flags
        ],
        "threads": 1,
        "core": last_core(),
        "onnxruntime": onnxruntime.__version__,
    }


def _is_look(done: int, schedule: Schedule) -> bool:
    return done >= schedule.most or done % schedule.repeats == 0


def _opened(openers: tuple[Opener, ...], *, backwards: bool) -> list[Call]:
    """Open each one again, the last one first if `backwards`. The calls are in the order of the openers."""
    order = sorted(range(len(openers)), reverse=backwards)
    calls = {place: openers[place]() for place in order}
    return [calls[place] for place in range(len(openers))]


def open_call(path: Path, raw: NDArray[np.generic]) -> Call:
    """Open a file again. The call computes the answer to one raw input."""
    session = open_session(path)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: raw})


def _warm_up(calls: list[Call]) -> bool:
    """Call until the speed is steady, or give up. Returns whether it is steady."""
    end = time.perf_counter() + LONGEST_WARM_UP_SECONDS
    before = [math.inf for _ in calls]
    while time.perf_counter() < end:
        now = [_p10(milliseconds) for milliseconds in _rounds(calls, WINDOW_ROUNDS)]
        if all(abs(new / old - 1) <= STEADY for new, old in zip(now, before, strict=True)):
            return True
        before = now
    return False


def _rounds(calls: list[Call], rounds: int) -> list[list[float]]:
    """Time the calls in turns, A B then B A. Returns milliseconds, without the first call of a turn (cold caches)."""
    times: list[list[float]] = [[] for _ in calls]
    turns = list(zip(calls, times, strict=True))
    for _ in range(rounds):
        for call, kept in turns:
            call()
            for _ in range(CALLS_PER_TURN):
                start = time.perf_counter_ns()
                call()
                kept.append((time.perf_counter_ns() - start) / 1e6)
        turns.reverse()
    return times


def _p10(milliseconds: list[float]) -> float:
    return float(np.quantile(milliseconds, 0.1))


def _times(repeats: list[list[float]], confidence: float) -> Times:
    everything = np.concatenate([np.asarray(repeat) for repeat in repeats])
    p10, interval = geometric_interval([_p10(repeat) for repeat in repeats], confidence)
    return Times(p10, float(np.median(everything)), float(np.quantile(everything, 0.99)), interval)


def _cpu_field(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
