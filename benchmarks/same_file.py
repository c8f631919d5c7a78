"""Is the timing fair? A file against itself must give a ratio whose interval contains 1, also beside a busy core.

Run as `python benchmarks/same_file.py FILE [FILE...]`, exported files; each is compared with itself 20 times, pinned
to one core, while another process keeps every other core busy. Exits 1 if fewer than 19 intervals of a file hold 1.

The interval is two-sided at 99 %: if all is well it misses 1 once in 100, so 19 of 20 is what to expect (98 of 100
fair timings reach it). At the 90 % of a gate's interval, whose ends are one-sided 95 % bounds, a perfectly fair
timing would miss twice in 20 by its very meaning; how many of those held 1 is printed too, without a limit.
A comparison takes `repeats` repeats and one look, so that nothing goes on until it pleases.
"""

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np

from stillhouse.models.measurement.latency import Schedule, compare
from stillhouse.models.measurement.statistics import geometric_interval
from stillhouse.models.runtime.session import open_session, pin_to_one_core

COMPARISONS, ENOUGH = 20, 19
SCHEDULE = Schedule(repeats=9, most=9, rounds=40, pause_seconds=0.2, confidence=0.99, limit=1.0)
GATE_CONFIDENCE = 0.9


def main() -> None:
    """Compare every file with itself beside busy neighbours."""
    files = [Path(name) for name in sys.argv[1:]]
    if not files:
        sys.exit("name at least one exported file, such as student.onnx")
    with pin_to_one_core() as core:
        neighbours = _keep_the_others_busy(core)
        try:
            held = [_compared_with_itself(path) for path in files]
        finally:
            for neighbour in neighbours:
                neighbour.kill()
    sys.exit(0 if min(held) >= ENOUGH else 1)


def _keep_the_others_busy(ours: int) -> list[multiprocessing.Process]:
    others = sorted(set(range(os.cpu_count() or 1)) - {ours})
    processes = [multiprocessing.Process(target=_busy, args=(core,), daemon=True) for core in others]
    for process in processes:
        process.start()
    print(f"measuring on core {ours}, busy: {', '.join(map(str, others)) or 'none, this machine has one core'}")
    return processes


def _busy(core: int) -> None:
    """Multiply matrices too large for the inner caches, so that memory is contended as well."""
    os.sched_setaffinity(0, {core})
    matrix = np.ones((700, 700), np.float32)
    while True:
        matrix @= np.eye(700, dtype=np.float32)


def _compared_with_itself(path: Path) -> int:
    """Print every interval and say how many hold 1."""
    shape = [size if isinstance(size, int) else 1 for size in open_session(path).get_inputs()[0].shape]
    image_NCHW = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    held = held_at_gate = 0
    for place in range(1, COMPARISONS + 1):
        found = compare(path, path, image_NCHW, SCHEDULE)
        low, high = found.interval
        held += low <= 1 <= high
        gate_low, gate_high = geometric_interval(found.ratios, GATE_CONFIDENCE)[1]
        held_at_gate += gate_low <= 1 <= gate_high
        verdict = "holds 1" if low <= 1 <= high else "MISSES 1"
        print(f"{path.name} {place:2d}: {found.ratio:.4f} ({low:.4f} to {high:.4f}) {verdict}", flush=True)
    print(f"{path.name}: {held} of {COMPARISONS} hold 1 at 99 %, {held_at_gate} at {GATE_CONFIDENCE:.0%}")
    return held


if __name__ == "__main__":
    main()
