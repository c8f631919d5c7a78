"""Export torch to ONNX, and ONNX to integer ONNX, the file that ships.

The exported graph takes raw pixels (uint8), code points or tokens (int64), samples (int16) or numbers of a user-defined
modality (float32). The graph contains its own normalisation, hashing or filter bank, so the deployable is one file.
"""

import logging
import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stillhouse.models.compression.fold import fold_batch_norm
from stillhouse.models.compression.quantization.quantize import bits_by_layer, dequantize, quantizable, read_integers
from stillhouse.models.data.text import CONTEXT, SHORTEST
from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.files import save_onnx
from stillhouse.models.onnx.packing import ship
from stillhouse.models.onnx.passes.constant_shapes import reshape_by_constants
from stillhouse.models.onnx.passes.strip import slim
from stillhouse.models.onnx.quantize import export_integer
from stillhouse.models.training.checkpoint import Architecture

OPSET = 20
INPUT = "images_NCHW"
OUTPUT = "logits_NK"
TEXT_INPUT = "codes_NL"
SPEECH_INPUT = "samples_NT"
IDS_INPUT = "ids_NT"
INPUTS = {"image": INPUT, "text": TEXT_INPUT, "tokens": IDS_INPUT, "speech": SPEECH_INPUT}
RAW = {"image": torch.uint8, "text": torch.int64, "tokens": torch.int64, "speech": torch.int16}
FEWEST_TOKENS = 2
"""The first and the last token that every text has."""
OUTPUTS = {"logits": OUTPUT, "vectors": "vectors_ND", "letters": "letters_NFV"}
OWN_INPUT, OWN_OUTPUT = "inputs", "outputs"
"""Input and output names of a network with a user-defined input or output."""


def export_float(module: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write an fp32 ONNX file with a dynamic batch size.

    Raises:
        ModelError: an operator has no ONNX form. The message names it.
    """
    example = architecture.example(2).to(RAW.get(architecture.takes, torch.float32))
    sizes = {0: torch.export.Dim("batch")}
    if architecture.takes == "text":
        sizes[1] = torch.export.Dim("length", min=SHORTEST, max=CONTEXT)
    if architecture.takes == "tokens":
        sizes[1] = torch.export.Dim("length", min=FEWEST_TOKENS, max=architecture.image_shape[0])
    if architecture.shortest:
        sizes[1] = torch.export.Dim("length", min=architecture.shortest)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                dequantize(module).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUTS.get(architecture.takes, OWN_INPUT)],
                output_names=[OUTPUTS.get(architecture.gives, OWN_OUTPUT)],
                dynamic_shapes=(sizes,),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        found = re.search(r"OpOverload\(op='([\w.]+)'", f"{error} {error.__cause__}")
        operator = f"operator {found[1]}" if found else str(error).splitlines()[0]
        msg = f"the model cannot be exported to ONNX ({operator}); replace that operator in the network"
        raise ModelError(msg) from error
    assert program is not None  # noqa: S101 - only None when exporting to a file
    model = program.model_proto
    reshape_by_constants(model)
    save_onnx(model, path)


def export_file(source: Path, how: Mapping[str, Any], calibration: NDArray[np.generic], path: Path) -> None:
    """Write the integer form of an fp32 file of which no module is known.

    Args:
        source: the fp32 file.
        how: as `Architecture.quantization`.
        calibration: raw inputs that determine the static scales.
        path: path of the new file.

    Raises:
        ModelError: the integer runtime lacks an operator.
    """
    export_integer(source, {}, {}, how, calibration, path)
    slim(path)


def export_model(module: nn.Module, architecture: Architecture, calibration: NDArray[np.generic], path: Path) -> None:
    """Write the deployable of a model: integer if the architecture says how to calibrate, otherwise fp32.

    Integer weights of the module are replaced by their float values, in place.

    Args:
        module: the model.
        architecture: architecture of the model.
        calibration: raw images (N, C, H, W), code points (N, L) or samples (N, T) that determine the static scales.
        path: path of the plain file. A packed file is written beside it.

    Raises:
        ModelError: the exporter or the integer runtime lacks an operator, or the model lacks a layer of `keep_float`.
    """
    if architecture.quantization is None:
        export_float(fold_batch_norm(module), architecture, path)
    else:
        bits_by_layer(module, 8, architecture.quantization["keep_float"])
        stored = read_integers(module)
        dequantize(module)
        weights = {name: module.get_parameter(f"{name}.weight").detach().numpy() for name in quantizable(module)}
        with tempfile.TemporaryDirectory() as folder:
            float_path = Path(folder) / "float.onnx"
            export_float(module, architecture, float_path)
            export_integer(float_path, weights, stored, architecture.quantization, calibration, path)
    slim(path)
    ship(path, architecture.packing)
