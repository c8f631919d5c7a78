"""Peer torchao: static int8 for x86 through PT2E, and its int8 weights, both compiled ahead of time by Inductor."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from benchmarks.peers.inductor import calibrate, example, package, teacher
from benchmarks.peers.request import Made, Request, Variant, answer


def fp32(request: Request, folder: Path) -> Made:
    """Only compile."""
    return package(teacher(request), request, folder)


def static(request: Request, folder: Path) -> Made:
    """Capture, observe, convert, compile."""
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    captured = torch.export.export(teacher(request), example(request), strict=True).module()
    prepared = prepare_pt2e(captured, quantizer)
    calibrate(prepared, request)
    converted = convert_pt2e(prepared)
    move_exported_model_to_eval(converted)
    return package(converted, request, folder, quantizer="X86InductorQuantizer")


def weights(request: Request, folder: Path) -> Made:
    """Quantize the weights of linear layers, the only ones this configuration takes."""
    module = teacher(request)
    quantize_(module, Int8WeightOnlyConfig())
    return package(module, request, folder, config="Int8WeightOnlyConfig")


def variants(_request: Request) -> Mapping[str, Variant]:
    """Name what is made."""
    return {
        "fp32, AOTInductor": fp32,
        "PT2E static int8, AOTInductor": static,
        "int8 weights, AOTInductor": weights,
    }


if __name__ == "__main__":
    answer("torchao", ("torchao", "torch"), variants)
