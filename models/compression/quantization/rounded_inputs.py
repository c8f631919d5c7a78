"""Quantization-aware training of products whose inputs are rounded at every call.

ONNX Runtime's DynamicQuantizeLinear rounds a whole input to 8 bits with one scale. In training each example has its own
scale, as in a request with one example. Gradients pass through the rounding.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.models.compression.quantization.smoothing import SmoothedLinear

LEVELS = 255
SMALLEST = 1e-12
"""Least scale, for an input of zeros."""


@contextmanager
def round_inputs(module: nn.Module, layers: Iterable[str]) -> Iterator[nn.Module]:
    """Round the inputs of the named linear layers while the context is open."""
    chosen = [layer for name in layers if isinstance(layer := module.get_submodule(name), nn.Linear)]
    hooks = [layer.register_forward_pre_hook(_round_first) for layer in chosen]
    try:
        yield module
    finally:
        for hook in hooks:
            hook.remove()


def round_dynamically(inputs: Tensor) -> Tensor:
    """Round each example (N, ...) to 256 levels from its least to its largest number. 0 is always a level."""
    with torch.no_grad():
        axes = tuple(range(1, inputs.ndim))
        least = inputs.amin(axes, keepdim=True).clamp(max=0)
        scale = ((inputs.amax(axes, keepdim=True).clamp(min=0) - least) / LEVELS).clamp(min=SMALLEST)
        zero = (-least / scale).round()
        rounded = ((inputs / scale).round() + zero).clamp(0, LEVELS).sub_(zero).mul_(scale)
    return inputs + (rounded - inputs).detach()


def _round_first(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
    if isinstance(layer, SmoothedLinear):  # it is rounded after the layer's own product
        return (round_dynamically(inputs[0] * layer.inverse_I) / layer.inverse_I,)
    return (round_dynamically(inputs[0]),)
