"""What a target's file is made of: a plain ONNX file, or a checkpoint as fp32 ONNX or as an exported torch program."""

from pathlib import Path

import numpy as np

from stillhouse.models.errors import ModelError
from stillhouse.tasks.targets.inputs import CALIBRATION, raw_inputs
from stillhouse.tasks.targets.source import Source

SCALES = "calibration.npy"
"""Raw inputs (N, ...) that determine the scales of activations."""


def write_plain_onnx(source: Source, component: str, _data: Path, folder: Path) -> Path:
    """Write the shipped file in plain operators, for OpenVINO. Returns its path.

    Raises:
        ModelError: an operator has no plain form, or needs wider integers than the runtime has.
    """
    import onnx

    from stillhouse.models.onnx.plain.read import expect_narrow_integers, read_plain

    model = read_plain(source.bundle.file(component))
    expect_narrow_integers(model, "OpenVINO")
    path = folder / f"{component}.onnx"
    onnx.save(model, path)
    return path


def write_student(source: Source, component: str, data: Path, folder: Path) -> Path:
    """Write a checkpoint as fp32 ONNX, with calibration images, for LiteRT. Returns the folder.

    Raises:
        ModelError: the source has no checkpoint.
        StillhouseError: the student is no image classifier.
    """
    from stillhouse.tasks.foreign.litert import write_float

    write_float(source.checkpoint(component, "litert"), folder / "student.onnx")
    np.save(folder / SCALES, _calibration(source, component, data))
    return folder


def write_program(source: Source, component: str, data: Path, folder: Path) -> Path:
    """Write a checkpoint as a torch program for one raw input, for ExecuTorch. Returns the folder.

    A student with integers has calibration inputs beside it. ExecuTorch's quantizer then rounds its trained weights.

    Raises:
        ModelError: the source has no checkpoint, or its inputs have many shapes.
    """
    import torch

    from stillhouse.models.compression.fold import fold_batch_norm
    from stillhouse.models.compression.quantization.quantize import dequantize
    from stillhouse.models.onnx.export import RAW
    from stillhouse.models.training.checkpoint import load_model

    module, architecture = load_model(source.checkpoint(component, "executorch"))
    if architecture.takes in {"text", "tokens"}:
        msg = "an ExecuTorch file here takes inputs of one shape, and texts have many lengths; use another target"
        raise ModelError(msg)
    if architecture.quantization is not None:
        np.save(folder / SCALES, _calibration(source, component, data))
    example = architecture.example(1).to(RAW.get(architecture.takes, torch.float32))
    program = torch.export.export(dequantize(fold_batch_norm(module)).eval(), (example,))
    torch.export.save(program, folder / "program.pt2")
    return folder


def _calibration(source: Source, component: str, data: Path) -> np.ndarray:
    return np.concatenate(raw_inputs(source.bundle, data, CALIBRATION)[component])
