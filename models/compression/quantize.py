"""Integer weights by `round(W / scale) * scale`, one scale per output channel, stored as integers.

Symmetric and scaled by the largest magnitude, so quantizing twice changes nothing: the exporter finds in the
dequantized weights exactly the integers stored here.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.errors import ModelError

QUANTIZABLE = (nn.Conv2d, nn.Linear)


class IntegerWeight(nn.Module):
    """A parametrization whose stored tensors are int8 weights and their scales."""

    def __init__(self, bits: int) -> None:
        """Use `bits` bits, at most 8."""
        super().__init__()
        self.largest = 2 ** (bits - 1) - 1

    def forward(self, integers: Tensor, scale_O: Tensor) -> Tensor:
        """Dequantize: `integers * scale`."""
        return integers.float() * scale_O.reshape(-1, *[1] * (integers.ndim - 1))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize: `round(weight / scale)` with `scale` = largest magnitude of the output channel / 127."""
        scale_O = weight.detach().abs().flatten(1).amax(1).clamp(min=torch.finfo(torch.float32).tiny) / self.largest
        integers = torch.round(weight.detach() / scale_O.reshape(-1, *[1] * (weight.ndim - 1)))
        return integers.clamp(-self.largest, self.largest).to(torch.int8), scale_O


def integer_weights(module: nn.Module, bits: int = 8) -> nn.Module:
    """Store every convolution's and linear layer's weight as integers, in place.

    Raises:
        ModelError: there is no such layer.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, QUANTIZABLE)]
    if not layers:
        msg = "quantize changed no layer: the model has no convolution and no linear layer; remove the step"
        raise ModelError(msg)
    for layer in layers:
        layer.weight.requires_grad_(False)  # noqa: FBT003 - positional in torch
        parametrize.register_parametrization(layer, "weight", IntegerWeight(bits))
    return module


def dequantized(module: nn.Module) -> nn.Module:
    """Replace integer weights by the numbers they stand for, in place."""
    for layer in module.modules():
        if isinstance(layer, QUANTIZABLE) and parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return module
