"""Judge files in one run: answers on a split, bytes, and time in turns. It runs in TensorFlow's environment.

`python -m stillhouse.models.litert.judge REQUEST ANSWER` with `files`, paths of `.tflite` or `.onnx` files (the first
one is the baseline), `images`, a `.npy` file of raw images (N, C, H, W), `answers`, the path of a new `.npz` file, and
`schedule`, the fields of `models.measurement.latency.Schedule`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.litert.runtime import open_file
from stillhouse.models.measurement.latency import Call, Schedule, compare_calls, machine, open_call
from stillhouse.models.runtime.session import open_session, predict

Images = NDArray[np.uint8]


def judge(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer with each file's `bytes`, the `comparisons` of the first file with each other one, and the `machine`.

    The numbers (N, K) that each file answers are written to `answers`, under the names of the files.
    """
    files = [Path(path) for path in request["files"]]
    images_NCHW: Images = np.load(request["images"])
    answers = {str(place): _answer_all(path, images_NCHW) for place, path in enumerate(files)}
    np.savez(request["answers"], **answers)  # type: ignore[arg-type] # names to arrays
    schedule = Schedule(**request["schedule"])
    openers = [partial(_open_call, path, images_NCHW[:1]) for path in files]
    return {
        "bytes": [path.stat().st_size for path in files],
        "comparisons": [asdict(compare_calls((openers[0], other), schedule)) for other in openers[1:]],
        "machine": machine(),
    }


def _answer_all(path: Path, images_NCHW: Images) -> NDArray[np.float32]:
    if path.suffix != ".tflite":
        return predict(open_session(path), images_NCHW)
    answer, images_NHWC = open_file(path), images_NCHW.transpose(0, 2, 3, 1)
    return np.concatenate([answer(images_NHWC[place : place + 1]) for place in range(len(images_NHWC))])


def _open_call(path: Path, image_NCHW: Images) -> Call:
    if path.suffix != ".tflite":
        return open_call(path, image_NCHW)
    answer: Callable[[Images], object] = open_file(path)
    image_NHWC = np.ascontiguousarray(image_NCHW.transpose(0, 2, 3, 1))
    return lambda: answer(image_NHWC)


if __name__ == "__main__":
    answer_or_refuse(judge)
