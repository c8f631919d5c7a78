"""torch -> ONNX, and ONNX -> integer ONNX: the file that ships.

The exported graph takes raw pixels (uint8) and contains its own normalisation, so the file is the whole deployable.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from models.checkpoint import Architecture
from models.compression.fold import fold_batch_norm
from models.compression.quantize import dequantized
from models.errors import ModelError
from models.slim import slim

OPSET = 20
INPUT = "images_NCHW"
OUTPUT = "logits_NK"


def export_float(module: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write an fp32 ONNX file with a dynamic batch size.

    Raises:
        ModelError: an operator has no ONNX form; names it.
    """
    example = architecture.example(2).to(torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                dequantized(module).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        msg = (
            f"the model cannot be exported to ONNX ({str(error).splitlines()[0]}); replace that operator in the network"
        )
        raise ModelError(msg) from error
    assert program is not None  # noqa: S101 - only None when exporting to a file
    program.save(str(path), external_data=False)


def export_integer(float_path: Path, calibration_NCHW: NDArray[np.uint8], method: str, path: Path) -> None:
    """Write the integer form of an fp32 ONNX file: operators on uint8 activations and int8 weights per channel.

    Args:
        float_path: the fp32 file.
        calibration_NCHW: raw images from which the ranges of activations are read.
        method: minmax, entropy or percentile.
        path: where to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(float_path), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(path),
            _Calibration(calibration_NCHW),
            quant_format=quantization.QuantFormat.QOperator,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=_METHODS[method],
        )


_METHODS = {
    "minmax": quantization.CalibrationMethod.MinMax,
    "entropy": quantization.CalibrationMethod.Entropy,
    "percentile": quantization.CalibrationMethod.Percentile,
}


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images_NCHW: NDArray[np.uint8], batch_size: int = 100) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            images_NCHW[start : start + batch_size] for start in range(0, len(images_NCHW), batch_size)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def export_model(
    module: nn.Module, architecture: Architecture, calibration_NCHW: NDArray[np.uint8], path: Path
) -> None:
    """Write the deployable of a model: integer where the architecture says how to calibrate, else fp32."""
    if architecture.quantization is None:
        export_float(fold_batch_norm(module), architecture, path)
    else:
        with tempfile.TemporaryDirectory() as folder:
            float_path = Path(folder) / "float.onnx"
            export_float(module, architecture, float_path)
            export_integer(float_path, calibration_NCHW, architecture.quantization["calibration"], path)
    slim(path)
