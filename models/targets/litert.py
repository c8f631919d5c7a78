"""Write a student as a LiteRT file in full integers, and judge it. It runs in TensorFlow's environment.

The request is that of `models.targets.judge`. The source is a folder with `student.onnx`, an fp32 file, and
`calibration.npy`, raw images (N, C, H, W) that determine the scales.
"""

from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.litert import runtime
from stillhouse.models.litert.convert import convert
from stillhouse.models.targets.judge import Answer, Raw, write_and_judge

CALIBRATION, PROGRAM = "calibration.npy", "student.onnx"


def write(source: Path, target: Path, _example: Raw) -> None:
    """Write a `.tflite` file.

    Raises:
        ModelError: the student has an operator without a LiteRT form.
    """
    convert({"onnx": str(source / PROGRAM), "images": str(source / CALIBRATION), "tflite": str(target)})


def open_file(path: Path) -> Answer:
    """Open a file as it is deployed. Images are (1, C, H, W) here and (1, H, W, C) there.

    Raises:
        ModelError: the runtime cannot open the file.
    """
    answer_NHWC = runtime.open_file(path)

    def answer(raw: Raw) -> NDArray[np.float32]:
        return answer_NHWC(np.ascontiguousarray(raw.transpose(0, 2, 3, 1)).astype(np.uint8, copy=False))

    return answer


if __name__ == "__main__":
    answer_or_refuse(partial(write_and_judge, write, open_file, {"litert": version("ai-edge-litert")}))
