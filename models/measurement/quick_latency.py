"""How long one exported file takes, so that surgery can stop at a time: one number, no interval, no verdict.

Run as `python -m stillhouse.models.measurement.quick_latency REQUEST ANSWER`, two JSON files: what
trains must not be pinned.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.runtime.session import open_session, pinned_to_one_core

WARM_UP_SECONDS = 0.3
SECONDS = 1.0


def time_file(path: Path, raw: NDArray[np.generic]) -> float:
    """Milliseconds of one call, the 10th percentile of a second of calls, on one thread pinned to one core.

    Args:
        path: the exported file.
        raw: one raw image (1, C, H, W) or sentence (1, L).
    """
    with pinned_to_one_core():
        return _timed(path, raw)


def _timed(path: Path, raw: NDArray[np.generic]) -> float:
    session = open_session(path)
    name = session.get_inputs()[0].name
    times: list[float] = []
    end = time.perf_counter() + WARM_UP_SECONDS + SECONDS
    while (start := time.perf_counter()) < end:
        session.run(None, {name: raw})
        if start > end - SECONDS:
            times.append(1e3 * (time.perf_counter() - start))
    return float(np.quantile(times, 0.1))


def main() -> None:
    """Read the request, measure, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    answer = {"milliseconds": time_file(Path(request["file"]), np.load(request["input"]))}
    answer_path.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
