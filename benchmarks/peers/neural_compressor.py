"""Peer Neural Compressor 3.x: its static int8, which for torch is PT2E with its own settings, compiled by Inductor.

Its ONNX half lives on as onnx-neural-compressor 1.0, which refuses numpy 2 and is left out.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers.inductor import calibrate, example, package, teacher
from benchmarks.peers.request import Made, Request, Variant, answer


def static(request: Request, folder: Path) -> Made:
    """Capture, observe, convert as its documentation shows, then compile."""
    from neural_compressor.torch.export import export
    from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

    captured = export(teacher(request), example_inputs=example(request))
    prepared = prepare(captured, quant_config=get_default_static_config())
    calibrate(prepared, request)
    return package(convert(prepared), request, folder, config="get_default_static_config")


def variants(_request: Request) -> Mapping[str, Variant]:
    """Name what is made."""
    return {"static int8 (PT2E), AOTInductor": static}


if __name__ == "__main__":
    answer("Neural Compressor", ("neural-compressor", "torch"), variants)
