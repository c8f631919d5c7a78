"""Measure the latency of one exported file, so that pruning can stop at a target time.

The result is one number without an interval. Run as
`python -m stillhouse.models.measurement.quick_latency REQUEST ANSWER`, two JSON files. It is a separate process because
the training process must not be pinned to one core.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.runtime.session import open_session, pin_to_one_core

WARM_UP_SECONDS = 0.3
SECONDS = 1.0


def time_file(path: Path, raw: NDArray[np.generic]) -> float:
    """Return the milliseconds of one call: the 10th percentile over a second of calls, on one pinned thread.

    Args:
        path: the exported file.
        raw: one raw image (1, C, H, W) or sentence (1, L).
    """
    with pin_to_one_core():
        return _time(path, raw)


def _time(path: Path, raw: NDArray[np.generic]) -> float:
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
