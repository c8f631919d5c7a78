"""Measure the serving cost of one exported file: load time, memory, processor time.

Run as `python -m stillhouse.models.measurement.resources FILE IMAGE`, an exported file and one raw image as .npy. The
process prints JSON. Every measurement uses a fresh process that does nothing else, because memory is allocated for the
first time only once. Linux only: peak memory is read from /proc. `models.measurement.latency` measures latency.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import is_packed, unpack
from stillhouse.models.runtime.session import open_session

PROCESSES = 3
LEAST_CPU_SECONDS = 0.5
LEAST_ANSWERS = 20


@dataclass(frozen=True)
class Serving:
    """Cost of one process that loads a file and answers. For several processes, each number is the median."""

    unpack_ms: float
    """Time to unpack the file; 0 for a plain file. `load_ms` includes this time."""
    load_ms: float
    """Time from the file on disk, in the page cache, to a ready session."""
    peak_bytes: float
    """Peak resident memory of loading and answering, above the memory of the imported runtime without a model."""
    cpu_seconds_per_1000: float
    """Processor time of 1,000 answers at batch 1 on one thread. Energy is nearly proportional to it."""


def serving_of(path: Path, image_NCHW: NDArray[np.uint8], processes: int = PROCESSES) -> Serving:
    """Measure a file in fresh processes, one after the other.

    Args:
        path: a plain or packed ONNX file.
        image_NCHW: one raw image (1, C, H, W).
        processes: number of processes.

    Raises:
        ModelError: the file cannot be loaded or cannot answer. The message gives the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.npy"
        np.save(image, image_NCHW)
        found = [asdict(_fresh(path, image)) for _ in range(processes)]
    return Serving(**{name: statistics.median(one[name] for one in found) for name in found[0]})


def _fresh(path: Path, image: Path) -> Serving:
    command = [sys.executable, "-m", "stillhouse.models.measurement.resources", str(path), str(image)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - this module
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        msg = f"{path} cannot be served in a process of its own ({reason}); export it again"
        raise ModelError(msg)
    return Serving(**json.loads(done.stdout))


def _measure(path: Path, image_NCHW: NDArray[np.uint8]) -> Serving:
    """Measure in this process. Memory comes first, because only the first allocation counts."""
    before = _resident("VmRSS")
    # Reset the peak, so that VmHWM counts from now. ru_maxrss would include the parent's memory from before exec.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    start = time.perf_counter()
    session = open_session(path)
    load_ms = 1e3 * (time.perf_counter() - start)
    cpu_seconds = _cpu_seconds(session, image_NCHW)
    peak_bytes = max(0, _resident("VmHWM") - before)
    return Serving(_unpack_ms(path), load_ms, peak_bytes, 1000 * cpu_seconds)


def _unpack_ms(path: Path) -> float:
    if not is_packed(path):
        return 0.0
    start = time.perf_counter()
    unpack(path)
    return 1e3 * (time.perf_counter() - start)


def _cpu_seconds(session: onnxruntime.InferenceSession, image_NCHW: NDArray[np.uint8]) -> float:
    """Return the processor seconds of one answer, over enough answers to measure them, without the first few."""
    name = session.get_inputs()[0].name
    for _ in range(LEAST_ANSWERS):
        session.run(None, {name: image_NCHW})
    start, answers = time.process_time(), 0
    while answers < LEAST_ANSWERS or time.process_time() - start < LEAST_CPU_SECONDS:
        session.run(None, {name: image_NCHW})
        answers += 1
    return (time.process_time() - start) / answers


def _resident(field: str) -> int:
    """Read VmRSS (now) or VmHWM (peak) of this process in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        msg = f"/proc/self/status does not say {field}; measure on Linux"
        raise ModelError(msg)
    return 1024 * int(found[1])


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(Path(sys.argv[1]), np.load(sys.argv[2])))))  # noqa: T201 - the answer
