"""Peer OpenVINO with NNCF: post-training int8, run by OpenVINO in full float precision and as it comes.

The models get a static batch of one, which is what OpenVINO is fastest at.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import openvino

from benchmarks.peers.request import Made, Request, Variant, answer


def read(request: Request) -> openvino.Model:
    """Read the teacher for one image at a time."""
    model = openvino.convert_model(request.onnx)
    model.reshape([1, *request.images().shape[1:]])
    return model


def save(model: openvino.Model, folder: Path, runtime: str, options: dict[str, Any]) -> Made:
    """Write graph and numbers; floats that are left go to 16 bits, as OpenVINO does it by itself."""
    path = folder / "model.xml"
    openvino.save_model(model, path)
    return Made(runtime, (str(path), str(path.with_suffix(".bin"))), options)


def fp32(request: Request, folder: Path) -> Made:
    """Only change the runtime."""
    return save(read(request), folder, "openvino", {})


def int8(request: Request, folder: Path, runtime: str, **options: Any) -> Made:  # noqa: ANN401 - the tool's own options
    """Quantize with all calibration images."""
    images = [image[None] for image in request.images()]
    model = nncf.quantize(read(request), nncf.Dataset(images), subset_size=len(images), **options)
    return save(model, folder, runtime, {name: str(value) for name, value in options.items()})


def variants(_request: Request) -> Mapping[str, Variant]:
    """Name what is made."""
    return {
        "fp32 converted": fp32,
        "NNCF int8, as it comes": partial(int8, runtime="openvino"),
        "NNCF int8, floats in f32": partial(int8, runtime="openvino f32"),
        "NNCF int8, slow bias correction": partial(int8, runtime="openvino", fast_bias_correction=False),
    }


if __name__ == "__main__":
    answer("OpenVINO + NNCF", ("openvino", "nncf"), variants)
