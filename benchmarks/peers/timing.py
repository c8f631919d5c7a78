"""One repeat of the timing: every deployable of every runtime in one process, on one pinned thread, taking turns.

As in `models.measurement.latency`: batch 1, turns of six calls of which the first is not counted, the 10th percentile
of what is left. The order of opening is shuffled and the order of turns reversed in every other round, so that neither
placement nor position favours a row; fresh processes make the repeats over which intervals are taken.

Run as `python -m benchmarks.peers.timing REQUEST ANSWER`, two JSON files.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.runners import RUNNERS, Runner
from stillhouse.models.data.images import load_images
from stillhouse.models.runtime.session import pin_to_one_core

WARM_UP_ROUNDS = 20
CALLS_PER_TURN = 5


def repeat(deployables: dict[str, tuple[str, str]], image_NCHW: NDArray[np.uint8], rounds: int, seed: int) -> Any:  # noqa: ANN401
    """Measure the 10th percentile of every deployable's milliseconds.

    Args:
        deployables: name -> (runtime, file).
        image_NCHW: one raw image (1, C, H, W).
        rounds: turns of each.
        seed: shuffles the order of opening.
    """
    order = list(deployables)
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    runners = {name: RUNNERS[deployables[name][0]](Path(deployables[name][1])) for name in order}
    times: dict[str, list[float]] = {name: [] for name in order}
    for at in range(-WARM_UP_ROUNDS, rounds):
        for name in order if at % 2 else reversed(order):
            turn = _turn(runners[name], image_NCHW)
            times[name] += turn if at >= 0 else []
    return {name: float(np.quantile(times[name], 0.1)) for name in deployables}


def _turn(run: Runner, image_NCHW: NDArray[np.uint8]) -> list[float]:
    run(image_NCHW)
    found = []
    for _ in range(CALLS_PER_TURN):
        start = time.perf_counter_ns()
        run(image_NCHW)
        found.append((time.perf_counter_ns() - start) / 1e6)
    return found


def main() -> None:
    """Read the request, measure, write the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    image_NCHW = load_images(Path(request["data"]), "calibration").images_NCHW[:1]
    with pin_to_one_core():
        found = repeat(request["deployables"], image_NCHW, request["rounds"], request["seed"])
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
