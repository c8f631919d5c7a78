"""One way to ask any deployable: a callable on raw images, on one thread, whatever runtime it needs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Runner = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Logits (1, K) of one raw image (1, C, H, W)."""


def onnx_runner(path: Path) -> Runner:
    """Open an ONNX file with ONNX Runtime's default options, as `our_runner` does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return _asked(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))


def our_runner(path: Path) -> Runner:
    """Open a file of ours, packed or plain, exactly as our own judge does."""
    from stillhouse.models.runtime.session import open_session

    return _asked(open_session(path))


def _asked(session: Any) -> Runner:  # noqa: ANN401 - ONNX Runtime publishes no types
    name = session.get_inputs()[0].name
    return lambda image_NCHW: session.run(None, {name: image_NCHW})[0]


def openvino_runner(path: Path, **options: Any) -> Runner:  # noqa: ANN401 - the runtime's own options
    """Compile OpenVINO's graph for latency."""
    import openvino

    threads = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", threads | options)
    request = compiled.create_infer_request()
    return lambda image_NCHW: request.infer({0: image_NCHW})[0]


def openvino_bare_runner(path: Path) -> Runner:
    """Write into the request's own input and read its own output, valid until the next call: the least it can do."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(str(path), "CPU", options).create_infer_request()
    images_NCHW, logits_NK = request.get_input_tensor().data, request.get_output_tensor().data

    def run(image_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        images_NCHW[:] = image_NCHW
        request.infer()
        return logits_NK

    return run


def torch_runner(path: Path) -> Runner:
    """Load a package that Inductor compiled ahead of time."""
    import torch

    torch.set_num_threads(1)
    program = torch._inductor.aoti_load_package(str(path))  # noqa: SLF001 - torch documents it under this name
    return lambda image_NCHW: program(torch.from_numpy(image_NCHW)).numpy()


RUNNERS: dict[str, Callable[[Path], Runner]] = {
    "onnxruntime": onnx_runner,
    "stillhouse": our_runner,
    "openvino": openvino_runner,
    "openvino f32": partial(openvino_runner, INFERENCE_PRECISION_HINT="f32"),
    "openvino bare": openvino_bare_runner,
    "torch": torch_runner,
}
