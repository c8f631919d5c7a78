"""Measure how one step changed the shipped files: bytes and time, before against after, in a separate process.

Run as `python -m stillhouse.models.measurement.step_cost REQUEST ANSWER`, two JSON files.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.models.measurement.latency import Call, Schedule, compare_calls, open_call
from stillhouse.models.onnx.packing import zstd_bytes
from stillhouse.models.runtime.weights import files_of, total_bytes

SCHEDULE = Schedule(repeats=3, most=7, rounds=10, pause_seconds=0.1, confidence=0.9, limit=1.0)
"""A quick screening with few repeats. More repeats follow only while the interval contains the needed speedup."""


@dataclass(frozen=True)
class Change:
    """One exported file that a step changed."""

    before: Path
    after: Path
    input: Path
    """One raw input as .npy: an image (1, C, H, W), a sentence (1, L) or a recording (1, T)."""


def step_cost(changes: Sequence[Change], least_gain: float) -> dict[str, Any]:
    """Compare exported files before and after a step: total bytes, and total time of one answer of each file.

    Args:
        changes: the files that the step changed.
        least_gain: required product of the size ratio and the speedup. `speedup.needed` is the speedup that the size
            ratio leaves to reach.
    """
    sides = {side: [getattr(change, side) for change in changes] for side in ("before", "after")}
    sizes = {
        "bytes": {side: total_bytes(paths) for side, paths in sides.items()},
        "zstd_bytes": {side: _zstd_bytes(paths) for side, paths in sides.items()},
    }
    needed = least_gain / max(size["before"] / size["after"] for size in sizes.values())
    calls = (lambda: _in_turn(changes, "before"), lambda: _in_turn(changes, "after"))
    timing = compare_calls(calls, replace(SCHEDULE, limit=needed))
    return {**sizes, "speedup": {"value": timing.ratio, "interval": timing.interval, "needed": needed}}


def _zstd_bytes(paths: Sequence[Path]) -> int:
    return sum(map(zstd_bytes, chain.from_iterable(map(files_of, paths))))


def _in_turn(changes: Sequence[Change], side: str) -> Call:
    calls = [open_call(getattr(change, side), np.load(change.input)) for change in changes]
    return lambda: [call() for call in calls]


def main() -> None:
    """Read the request, measure, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    changes = [Change(**{name: Path(path) for name, path in change.items()}) for change in request["changes"]]
    answer_path.write_text(json.dumps(step_cost(changes, request["least_gain"])), encoding="utf-8")


if __name__ == "__main__":
    main()
