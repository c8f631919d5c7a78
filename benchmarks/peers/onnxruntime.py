"""Peer ONNX Runtime: its quantizer as it comes, with its best settings for this processor, and dynamic."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.request import INPUT, Made, Request, Variant, answer


class Calibration(quantization.CalibrationDataReader):
    """The calibration images in batches, as ONNX Runtime asks for them."""

    def __init__(self, request: Request, batch_size: int = 100) -> None:
        """Read the images."""
        images_NCHW = request.images()
        self.batches = iter(images_NCHW[at : at + batch_size] for at in range(0, len(images_NCHW), batch_size))

    def get_next(self) -> dict[str, Any] | None:
        """Give the next batch, or None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def static(request: Request, folder: Path, **options: Any) -> Made:  # noqa: ANN401 - the tool's own options
    """Pre-process as its documentation asks, calibrate, quantize weights and activations to int8."""
    prepared, path = folder / "prepared.onnx", folder / "model.onnx"
    quant_pre_process(request.onnx, str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(str(prepared), str(path), Calibration(request), **options)
    return Made("onnxruntime", (str(path),), {name: str(value) for name, value in options.items()})


def best(request: Request, folder: Path) -> Made:
    """Quantize to operators on uint8 activations and int8 weights per channel: fastest with VNNI."""
    return static(
        request,
        folder,
        quant_format=quantization.QuantFormat.QOperator,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )


def dynamic(request: Request, folder: Path) -> Made:
    """Quantize weights now and activations at every call; unsigned weights, since convolutions take no others."""
    path = folder / "model.onnx"
    quantization.quantize_dynamic(request.onnx, str(path), weight_type=quantization.QuantType.QUInt8)
    return Made("onnxruntime", (str(path),), {"weight_type": "QUInt8"})


def fp32(request: Request, _folder: Path) -> Made:
    """Take the teacher as it is: every ratio is to this row."""
    return Made("onnxruntime", (request.onnx,))


def variants(_request: Request) -> Mapping[str, Variant]:
    """Name what is made."""
    return {
        "fp32, the teacher itself": fp32,
        "static int8, as it comes (QDQ)": static,
        "static int8, U8S8 per channel (QOperator)": best,
        "dynamic int8": dynamic,
    }


if __name__ == "__main__":
    answer("ONNX Runtime", ("onnxruntime",), variants)
