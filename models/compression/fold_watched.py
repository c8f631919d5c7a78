"""Fold batch norms of a network that cannot be traced: watch in one run which convolution feeds which batch norm."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stillhouse.models.errors import ModelError

TOLERANCE = 1e-3
"""Largest difference of the outputs before and after folding, as a share of the largest output."""


@torch.no_grad()
def fold_watched(module: nn.Module, network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy in evaluation mode, with each batch norm folded into the convolution that alone feeds it.

    Args:
        module: the whole module.
        network: the part of it that has the batch norms.
        example: an input of that part.

    Raises:
        ModelError: folding changes the outputs, because another layer reads a convolution too.
    """
    where = next(name for name, part in module.named_modules() if part is network)
    folded = copy.deepcopy(module.eval())
    part = folded.get_submodule(where)
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)) * 255
    before = part(noise)
    for norm, convolution in _pairs(part, noise).items():
        fused = fuse_conv_bn_eval(part.get_submodule(convolution), part.get_submodule(norm))  # type: ignore[type-var, arg-type]
        part.set_submodule(convolution, fused)
        part.set_submodule(norm, nn.Identity())
    if not (part(noise) - before).abs().max() <= TOLERANCE * before.abs().max().clamp(min=1.0):
        msg = "the batch norms of this network cannot be folded, as others read their convolutions; leave fold out"
        raise ModelError(msg)
    return folded


def _pairs(network: nn.Module, example: Tensor) -> dict[str, str]:
    """Return batch norm -> convolution whose output it reads, by name."""
    made: list[tuple[object, str]] = []
    pairs: dict[str, str] = {}

    def note_output(name: str) -> Callable[..., None]:
        return lambda _layer, _inputs, output: made.append((output, name))

    def note_input(name: str) -> Callable[..., None]:
        def note(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            pairs.update((name, maker) for output, maker in made if output is inputs[0])

        return note

    hooks = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(note_output(name)))
        elif isinstance(layer, nn.BatchNorm2d):
            hooks.append(layer.register_forward_pre_hook(note_input(name)))
    network(example)
    for hook in hooks:
        hook.remove()
    return pairs
