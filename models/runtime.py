"""The exported file in its own runtime, as it ships: ONNX Runtime, one thread."""

import os
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import ModelError
from models.packing import is_packed, unpacked


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Load a plain or packed file for the CPU: one thread, and the runtime's default options in all else.

    Who loads the file in another program gets these options, so nothing that ships may need others to be fast.

    Raises:
        ModelError: a packed file is damaged.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    source = unpacked(path) if is_packed(path) else str(path)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def predict(
    session: onnxruntime.InferenceSession, raw: NDArray[np.generic], batch_size: int = 500
) -> NDArray[np.float32]:
    """Logits or vectors (N, K) for raw images (N, C, H, W) or code points (N, L).

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


def pin_to_one_core() -> int:
    """Bind this process to the last core it may use; returns the core's number."""
    if not hasattr(os, "sched_setaffinity"):
        warnings.warn("this system cannot pin a process to a core; timings will be noisier", stacklevel=2)
        return -1
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core
