"""Write a plain ONNX file as OpenVINO's IR, and judge it there. It runs in OpenVINO's environment.

The request is that of `models.targets.judge`. The source is an ONNX file without ONNX Runtime's own operators.
"""

from functools import partial
from pathlib import Path

import numpy as np
import openvino  # type: ignore[import-not-found] # OpenVINO's environment has it
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.targets.judge import Answer, Raw, write_and_judge

NO_REASONS = ("Exception from", "Check '", "FrontEnd API", "Model wasn't")
"""Beginnings of lines that say nothing of the model."""
ONE_THREAD = {"INFERENCE_NUM_THREADS": 1}
"""All other options are the runtime's defaults: it computes in bfloat16 where the processor has it."""


def write(source: Path, target: Path, _example: Raw) -> None:
    """Write `<name>.xml` and `<name>.bin`. Integer weights stay integers, floats stay fp32.

    Raises:
        ModelError: OpenVINO knows an operator not, or not in this form.
    """
    try:
        openvino.save_model(openvino.Core().read_model(source), target, compress_to_fp16=False)
    except RuntimeError as error:
        msg = f"OpenVINO does not take the model ({_reason(error)}); keep this model in ONNX Runtime"
        raise ModelError(msg) from error


def open_file(path: Path) -> Answer:
    """Open an IR as it is deployed: one thread, the runtime's default options otherwise.

    Raises:
        ModelError: the runtime cannot open the file.
    """
    try:
        request = openvino.Core().compile_model(path, "CPU", ONE_THREAD).create_infer_request()
    except RuntimeError as error:
        msg = f"OpenVINO cannot open {path.name} ({_reason(error)}); keep this model in ONNX Runtime"
        raise ModelError(msg) from error

    def answer(raw: Raw) -> NDArray[np.float32]:
        found: NDArray[np.float32] = request.infer({0: raw})[0]
        return found

    return answer


def _reason(error: RuntimeError) -> str:
    """Return the first line of OpenVINO's message that says something of the model."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(NO_REASONS)]
    return " ".join((told or lines or ["no reason given"])[:2])[:300]


if __name__ == "__main__":
    answer_or_refuse(partial(write_and_judge, write, open_file, {"openvino": openvino.__version__}))
