"""Even out the inputs of linear layers before they are rounded (SmoothQuant, Xiao et al. 2022, arXiv:2211.10438).

A few channels of a text encoder are ten times as large as the others. The runtime rounds all channels with one scale.
So the others get few levels. Here each channel is divided by a factor that multiplies its weights. In floats the
layer answers as before.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

EXPONENT = 0.75
"""Share of the unevenness that moves from the inputs to the weights. MiniLM keeps most neighbours from 0.7 to 0.8."""
UNEVEN = 5.0
"""A layer is smoothed if its largest channel is this many times the median channel. The product costs time.

At 3.0 MiniLM with tables in 6 bits keeps as many neighbours, and a call takes 2.9% longer.
"""
SMALLEST = 1e-5
"""Least magnitude of a channel, for one that is always 0."""


class SmoothedLinear(nn.Linear):
    """A linear layer that multiplies each input channel by a number first."""

    inverse_I: Tensor

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        """Build. The numbers are 1 until a state is loaded."""
        super().__init__(inputs, outputs, bias=bias)
        self.register_buffer("inverse_I", torch.ones(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (..., I) to (..., O)."""
        return functional.linear(inputs * self.inverse_I, self.weight, self.bias)


def smoothed_linear(module: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Replace the named linear layers by smoothed ones with the same weights, in place."""
    for name in layers:
        before = cast("nn.Linear", module.get_submodule(name))
        after = SmoothedLinear(before.in_features, before.out_features, bias=before.bias is not None)
        after.weight, after.bias = before.weight, before.bias
        module.set_submodule(name, after)
    return module


def smooth_inputs(module: nn.Module, inputs: Tensor) -> list[str]:
    """Smooth the linear layers whose inputs are uneven, in place.

    Layers that read the same tensor get the same factors, so that the runtime divides it and rounds it once.

    Args:
        module: the model.
        inputs: calibration inputs of the model (N, ...).

    Returns:
        The names of the changed layers.
    """
    largest = _largest_inputs(module, inputs)
    chosen = [names for names in _same_input(largest) if _is_uneven(largest[names[0]])]
    for names in chosen:
        smoothed_linear(module, names)
        _move(module, names, largest[names[0]])
    return [name for names in chosen for name in names]


def _largest_inputs(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Return the largest magnitude in each input channel (I) of every linear layer, by layer name."""
    found: dict[str, Tensor] = {}

    def note(name: str, given: Tensor) -> None:
        now_I = given.detach().abs().flatten(0, -2).amax(0)
        found[name] = torch.maximum(found.get(name, now_I), now_I)

    layers = {name: layer for name, layer in module.named_modules() if type(layer) is nn.Linear}
    hooks = [
        layer.register_forward_pre_hook(lambda _layer, given, name=name: note(name, given[0]))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        module.eval()(inputs)
    for hook in hooks:
        hook.remove()
    return found


def _same_input(largest: Mapping[str, Tensor]) -> Collection[list[str]]:
    """Group the layers that read the same tensor. They have seen the same numbers."""
    groups: dict[bytes, list[str]] = {}
    for name, largest_I in largest.items():
        groups.setdefault(largest_I.numpy().tobytes(), []).append(name)
    return groups.values()


def _is_uneven(largest_I: Tensor) -> bool:
    return bool(largest_I.max() >= UNEVEN * largest_I.median())


def _move(module: nn.Module, names: list[str], largest_I: Tensor) -> None:
    """Divide the inputs by the factors, and multiply the weights by them. The mean factor is 1."""
    layers = [module.get_submodule(name) for name in names]
    weights_I = torch.stack([layer.get_parameter("weight").detach().abs().amax(0) for layer in layers]).amax(0)
    factors_I = largest_I.clamp(min=SMALLEST) ** EXPONENT / weights_I.clamp(min=SMALLEST) ** (1 - EXPONENT)
    factors_I /= factors_I.mean()
    for layer in layers:
        layer.get_buffer("inverse_I").copy_(1 / factors_I)
        with torch.no_grad():
            layer.get_parameter("weight").mul_(factors_I)
