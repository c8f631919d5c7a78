"""Measure made deployables alike: quality in a process each, bytes, and time in repeats in which all take turns."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.making import environment, last_line
from benchmarks.peers.table import Measured, Row
from stillhouse.models.data.images import load_images
from stillhouse.models.measurement.statistics import accuracy_difference_interval, geometric_interval
from stillhouse.models.onnx.packing import zstd_bytes

SPLIT = "test"


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    images: int
    repeats: int
    rounds: int
    pause_seconds: float
    confidence: float


def measure(work: Path, data: Path, made: list[dict[str, Any]], effort: Effort) -> list[Row]:
    """Turn what was made into rows; the first must be the teacher.

    Args:
        work: a folder to write in.
        data: materialised dataset.
        made: `tool`, `what`, `seconds` and either `runtime` and `files`, or `failed`, each.
        effort: how much to measure.
    """
    right = {str(at): _right(work, data, row, effort, at) for at, row in enumerate(made) if "failed" not in row}
    alive = {at: (made[int(at)]["runtime"], made[int(at)]["files"][0]) for at in right if "failed" not in made[int(at)]}
    if "0" not in alive:
        sys.exit(f"the teacher itself could not be run ({made[0]['failed']}); look at the logs in {work / 'made'}")
    times = [_repeat(work, data, alive, effort, seed) for seed in range(effort.repeats)]
    return [
        _row(row, _measured(made, str(at), right, times, effort) if str(at) in alive else None, work)
        for at, row in enumerate(made)
    ]


def _right(work: Path, data: Path, row: dict[str, Any], effort: Effort, at: int) -> NDArray[np.bool_]:
    """Say which images a deployable gets right; one that dies becomes a failed row."""
    print(f"asking: {row['tool']}: {row['what']}", flush=True)
    answers = work / f"answers-{at}.npy"
    arguments = [row["runtime"], row["files"][0], str(data), SPLIT, str(effort.images), str(answers)]
    done = _module(work, "judge", arguments)
    if done.returncode:
        row["failed"] = f"could not be run: {last_line(done.stderr) or f'exit code {done.returncode}'}"
        return np.zeros(0, bool)
    found: NDArray[np.bool_] = np.load(answers) == load_images(data, SPLIT).labels_N[: effort.images]
    return found


def _repeat(work: Path, data: Path, alive: dict[str, tuple[str, str]], effort: Effort, seed: int) -> dict[str, float]:
    print(f"timing: repeat {seed + 1}/{effort.repeats}", flush=True)
    if seed:
        time.sleep(effort.pause_seconds)
    request, answer = work / "timing.json", work / f"times-{seed}.json"
    content = {"data": str(data), "deployables": alive, "rounds": effort.rounds, "seed": seed}
    request.write_text(json.dumps(content), encoding="utf-8")
    done = _module(work, "timing", [str(request), str(answer)])
    if done.returncode:
        sys.exit(f"timing broke: {last_line(done.stderr)}")
    found: dict[str, float] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _module(work: Path, name: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.peers.{name}", *arguments]
    one_thread = environment(work) | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=one_thread, check=False, capture_output=True, text=True)


def _measured(
    made: list[dict[str, Any]],
    at: str,
    right: dict[str, NDArray[np.bool_]],
    times: list[dict[str, float]],
    effort: Effort,
) -> Measured:
    interval = accuracy_difference_interval(right["0"], right[at], effort.confidence)
    paths = [Path(file) for file in made[int(at)]["files"]]
    size = sum(path.stat().st_size for path in paths)
    faster, faster_interval = geometric_interval([found["0"] / found[at] for found in times], effort.confidence)
    return Measured(
        accuracy=float(right[at].mean()),
        points=100 * float(right[at].mean() - right["0"].mean()),
        points_interval=(100 * interval[0], 100 * interval[1]),
        bytes=size,
        zstd_bytes=sum(map(zstd_bytes, paths)),
        smaller=Path(made[0]["files"][0]).stat().st_size / size,
        milliseconds=float(np.exp(np.mean([np.log(found[at]) for found in times]))),
        faster=faster,
        faster_interval=faster_interval,
        milliseconds_of_repeats=tuple(found[at] for found in times),
    )


def _row(made: dict[str, Any], measured: Measured | None, work: Path) -> Row:
    """Put together a row; a reason names files without the folders of this machine."""
    failed = made.get("failed", "").replace(f"{work}/", "")
    ours, trained = bool(made.get("ours")), bool(made.get("trained"))
    return Row(made["tool"], made["what"], ours, made["seconds"], measured, failed, trained)
