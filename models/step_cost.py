"""What one step changed in the file that would ship: bytes and time, before against after, in a clean process.

Run as `python -m models.step_cost REQUEST ANSWER`, two JSON files.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.footprint import Schedule, compare
from models.packing import zstd_bytes

SCHEDULE = Schedule(repeats=3, most=7, rounds=10, pause_seconds=0.1, confidence=0.9, limit=1.0)
"""A screening, not a verdict: a few repeats, more only while neither file is clearly the faster."""


def step_cost(before: Path, after: Path, raw: NDArray[np.generic]) -> dict[str, Any]:
    """Compare two exported files on one raw input, an image (1, C, H, W) or a sentence (1, L)."""
    timing = compare(before, after, raw, SCHEDULE)
    files = {"before": before, "after": after}
    return {
        "bytes": {name: path.stat().st_size for name, path in files.items()},
        "zstd_bytes": {name: zstd_bytes(path) for name, path in files.items()},
        "speedup": {"value": timing.ratio, "interval": timing.interval},
    }


def main() -> None:
    """Read the request, measure, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    answer = step_cost(Path(request["before"]), Path(request["after"]), np.load(request["input"]))
    answer_path.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
