"""torch -> ONNX, and ONNX -> integer ONNX: the file that ships.

The exported graph takes raw pixels (uint8) and contains its own normalisation, so the file is the whole deployable.
"""

import logging
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.checkpoint import Architecture
from models.compression.fold import fold_batch_norm
from models.compression.quantize import bits_by_layer, dequantized, quantizable, stored_integers
from models.errors import ModelError
from models.export_integer import export_integer
from models.packing import ship
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
        found = re.search(r"OpOverload\(op='([\w.]+)'", f"{error} {error.__cause__}")
        operator = f"operator {found[1]}" if found else str(error).splitlines()[0]
        msg = f"the model cannot be exported to ONNX ({operator}); replace that operator in the network"
        raise ModelError(msg) from error
    assert program is not None  # noqa: S101 - only None when exporting to a file
    program.save(str(path), external_data=False)


def export_model(
    module: nn.Module, architecture: Architecture, calibration_NCHW: NDArray[np.uint8], path: Path
) -> None:
    """Write the deployable of a model: integer where the architecture says how to calibrate, else fp32.

    Integer weights of the module become the floats they stand for, in place.

    Raises:
        ModelError: the exporter or the integer runtime lacks an operator, or the model a layer of `keep_float`.
    """
    if architecture.quantization is None:
        export_float(fold_batch_norm(module), architecture, path)
    else:
        bits_by_layer(module, 8, architecture.quantization["keep_float"])
        stored = stored_integers(module)
        dequantized(module)
        weights = {name: module.get_parameter(f"{name}.weight").detach().numpy() for name in quantizable(module)}
        with tempfile.TemporaryDirectory() as folder:
            float_path = Path(folder) / "float.onnx"
            export_float(module, architecture, float_path)
            export_integer(float_path, weights, stored, architecture.quantization, calibration_NCHW, path)
    slim(path)
    ship(path, architecture.packing)
