"""Describe what a served model takes and gives, as tensors of the Open Inference Protocol."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import soundfile
from onnx import helper
from PIL import Image

from stillhouse.models.onnx.packing import unpack
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Answerer
from stillhouse.tasks.serving.bodies import FILES
from stillhouse.tasks.serving.protocols.open_inference import BYTES, DATATYPES, tensor_of

SIDE, RATE = 32, 16_000
"""Sides of a picture, and samples of a recording, whose answer shows the outputs."""


def ports_of(bundle: Bundle, answers: Mapping[str, Answerer]) -> dict[str, list[dict[str, Any]]]:
    """Return `inputs` and `outputs`, each a list of tensors without data. A size of -1 is the batch, or any size."""
    return {
        "inputs": [_input(kind, bundle) for kind in answers],
        "outputs": list(_outputs(answers)),
    }


def _input(kind: str, bundle: Bundle) -> dict[str, Any]:
    if kind in FILES.values():
        return {"name": kind, "datatype": BYTES, "shape": [-1]}
    port = onnx.load_from_string(unpack(bundle.files[0])).graph.input[0].type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(port.elem_type)
    datatype = next((name for name, each in DATATYPES.items() if each == dtype), BYTES)
    sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in port.shape.dim]
    return {"name": kind, "datatype": datatype, "shape": [-1, *sizes[1:]]}


def _outputs(answers: Mapping[str, Answerer]) -> Iterator[dict[str, Any]]:
    """Answer one example, and describe its fields. Every kind has the same fields."""
    kind = next((kind for kind in answers if kind in FILES.values()), None)
    if kind is None:
        return
    for name, value in answers[kind]([_example(kind)])[0].items():
        tensor = tensor_of(name, [value])
        yield {"name": name, "datatype": tensor["datatype"], "shape": [-1, *tensor["shape"][1:]]}


def _example(kind: str) -> Any:  # noqa: ANN401 - a text or a file
    if kind == "text":
        return "a"
    stream, generator = io.BytesIO(), np.random.default_rng(0)
    if kind == "image":
        Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(stream, "PNG")
    else:
        soundfile.write(stream, generator.normal(0, 0.1, RATE), RATE, format="WAV")
    return stream.getvalue()
