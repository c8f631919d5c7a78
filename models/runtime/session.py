"""Run an exported file as it is deployed: ONNX Runtime, one thread."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import is_packed, unpack


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Load a plain or packed file for the CPU, with one thread and otherwise the runtime's default options.

    Other programs load the file with the default options too, so a shipped file must be fast with them.

    Raises:
        ModelError: a packed file is damaged.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    source = unpack(path) if is_packed(path) else str(path)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def predict(
    session: onnxruntime.InferenceSession, raw: NDArray[np.generic], batch_size: int = 500
) -> NDArray[np.float32]:
    """Return logits or vectors (N, K) for raw images (N, C, H, W) or code points (N, L).

    Raises:
        ModelError: the runtime returned a number that is not finite.
    """
    name = session.get_inputs()[0].name
    batches = [raw[start : start + batch_size] for start in range(0, len(raw), batch_size)]
    answers_NK = np.concatenate([session.run(None, {name: batch})[0] for batch in batches])
    if not np.isfinite(answers_NK).all():
        msg = "the exported file answered with NaN or infinity; quantize fewer layers or train in fp32"
        raise ModelError(msg)
    return answers_NK


def last_core() -> int:
    """Return the number of the last core that this process may use, or -1 if the system does not tell."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1


@contextmanager
def pin_to_one_core() -> Iterator[int]:
    """Pin this process to its last core, and restore all its cores afterwards. Yields the core's number.

    If the process stayed pinned, its child processes would have one core, and training on one core rounds
    differently.
    """
    core = last_core()
    if core < 0:
        warnings.warn("this system cannot pin a process to a core; timings will be noisier", stacklevel=3)
        yield core
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)
