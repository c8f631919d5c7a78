"""Quantization-aware training with learned step sizes (LSQ, Esser et al. 2019, arXiv:1902.08153).

The network keeps its batch norms and its pixel scale during the training. Both multiply whole output channels. So
folding them afterwards changes the step sizes but not the learned integers.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stillhouse.models.compression.quantization.rounding import LARGEST, per_channel, round_weight


class LearnedStep(nn.Module):
    """A parametrization `round(clip(W / step, -Q, Q)) * step` with one learned step per output channel."""

    kept: Tensor

    def __init__(self, weight: Tensor, bits: int) -> None:
        """Start from the step sizes of post-training rounding, not from the paper's 2 * mean|W| / sqrt(Q).

        Args:
            weight: (O, ...). A weight that is 0 because it was pruned stays 0.
            bits: 8, 6, 5, 4, 3 or 2.
        """
        super().__init__()
        self.largest = LARGEST[bits]
        self.step_O = nn.Parameter(round_weight(weight, bits).scale_O)
        self.register_buffer("kept", weight.detach() != 0)
        self.gradient_scale = 1 / math.sqrt(weight[0].numel() * self.largest)

    def forward(self, weight: Tensor) -> Tensor:
        """Fake-quantize. Gradients pass through the rounding. The step's gradient is scaled by `1 / sqrt(n * Q)`."""
        step = self._step(weight)
        ratio = (weight / step).clamp(-self.largest, self.largest)
        return (ratio + (ratio.round() - ratio).detach()) * step * self.kept

    @torch.no_grad()
    def integers(self, weight: Tensor) -> Tensor:
        """Return the integers (O, ...), int8, that `forward` multiplies by the step."""
        ratio = (weight / self._step(weight)).clamp(-self.largest, self.largest)
        return (ratio.round() * self.kept).to(torch.int8)

    def _step(self, weight: Tensor) -> Tensor:
        scaled_O = self.step_O * self.gradient_scale
        step_O = (self.step_O - scaled_O).detach() + scaled_O
        return per_channel(step_O.abs().clamp(min=torch.finfo(torch.float32).eps), weight)


def learn_steps(module: nn.Module, bits: Mapping[str, int]) -> nn.Module:
    """Fake-quantize the weights of the named layers, in place, ready for training."""
    for name, width in bits.items():
        layer = module.get_submodule(name)
        step = LearnedStep(layer.get_parameter("weight"), width)
        parametrize.register_parametrization(layer, "weight", step)
    return module


def settle_steps(module: nn.Module) -> dict[str, Tensor]:
    """End the training: replace each fake-quantized weight by its value, in place. Returns the integers by layer."""
    integers = {}
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer, "weight") and isinstance(
            layer.parametrizations["weight"][0], LearnedStep
        ):
            parameters = layer.parametrizations["weight"]
            integers[name] = parameters[0].integers(parameters.original)
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return integers
