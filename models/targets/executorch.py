"""Write an exported torch program as an ExecuTorch file for XNNPACK, and judge it. It runs in ExecuTorch's environment.

The request is that of `models.targets.judge`. The source is a folder with `program.pt2`, an fp32 program for one raw
input, and, if the student has integers, `calibration.npy`, raw inputs (N, ...) that determine the scales.
"""

import logging
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found] # ExecuTorch's environment has it
    XnnpackPartitioner,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (  # type: ignore[import-not-found] # the same
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.exir import to_edge_transform_and_lower  # type: ignore[import-not-found] # the same
from executorch.extension.pybindings import portable_lib  # type: ignore[import-not-found] # the same
from executorch.runtime import Runtime  # type: ignore[import-not-found] # the same
from numpy.typing import NDArray
from torchao.quantization.pt2e.quantize_pt2e import (  # type: ignore[import-not-found] # the same
    convert_pt2e,
    prepare_pt2e,
)

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.targets.judge import Answer, Raw, write_and_judge

CALIBRATION, PROGRAM = "calibration.npy", "program.pt2"


def write(source: Path, target: Path, example: Raw) -> None:
    """Write a `.pte` file: fp32, or weights and activations in int8 with a scale for each channel of the weights.

    Raises:
        ModelError: ExecuTorch does not take an operator.
    """
    try:
        program = torch.export.load(source / PROGRAM)
        if (source / CALIBRATION).is_file():
            program = _quantize(program, np.load(source / CALIBRATION), example)
        made = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    except Exception as error:  # the compiler's exceptions have no common base but this
        reason = " ".join(str(error).split())[:300]
        msg = f"ExecuTorch does not take the model ({reason}); keep this model in ONNX Runtime"
        raise ModelError(msg) from error
    with write_aside(target) as aside:
        aside.write_bytes(made.buffer)


def _quantize(
    program: torch.export.ExportedProgram, calibration: NDArray[np.generic], example: Raw
) -> torch.export.ExportedProgram:
    """Round weights and activations by the ranges of the calibration inputs."""
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(program.module(), quantizer)
    for raw in calibration:
        prepared(torch.from_numpy(raw[None]))
    return torch.export.export(convert_pt2e(prepared), (torch.from_numpy(example),))


def open_file(path: Path) -> Answer:
    """Open a file as it is deployed: one thread.

    Raises:
        ModelError: the runtime cannot open the file.
    """
    portable_lib._unsafe_reset_threadpool(1)  # noqa: SLF001 - the only way to one thread
    try:
        program = Runtime.get().load_program(path)
        method = program.load_method("forward")
    except RuntimeError as error:
        msg = f"ExecuTorch cannot open {path.name} ({error}); keep this model in ONNX Runtime"
        raise ModelError(msg) from error

    def answer(raw: Raw) -> NDArray[np.float32]:
        found: NDArray[np.float32] = method.execute([torch.from_numpy(raw)])[0].numpy()
        return found

    answer.program = program  # type: ignore[attr-defined] # a method does not keep its program alive
    return answer


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    answer_or_refuse(partial(write_and_judge, write, open_file, {"executorch": version("executorch")}))
