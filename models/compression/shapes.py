"""Input and output shapes of a network's layers."""

from collections.abc import Callable, Collection
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn


@torch.no_grad()
def layer_shapes(module: nn.Module, example: Tensor) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Find the shapes of the first input and of the output of every layer that maps tensors to one tensor, by name.

    An output of one tensor and otherwise nothing, in a tuple, counts as this tensor.

    Args:
        module: the network. It is put into evaluation mode.
        example: the input to run it on.
    """
    shapes: dict[str, tuple[torch.Size, torch.Size]] = {}

    def noting(name: str) -> Callable[..., None]:
        def note(_layer: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
            first = output[0] if is_single(output) else output
            if inputs and isinstance(inputs[0], Tensor) and isinstance(first, Tensor):
                shapes[name] = (inputs[0].shape, first.shape)

        return note

    hooks = [layer.register_forward_hook(noting(name)) for name, layer in module.named_modules()]
    module.eval()(example)
    for hook in hooks:
        hook.remove()
    return shapes


def is_single(output: object) -> TypeGuard[tuple[Tensor, ...]]:
    """Tell whether an output is a tuple with one tensor, and nothing in its other places."""
    return (
        isinstance(output, tuple)
        and bool(output)
        and isinstance(output[0], Tensor)
        and all(each is None for each in output[1:])
    )


@torch.no_grad()
def tuple_lengths(module: nn.Module, example: Tensor, names: Collection[str]) -> dict[str, int]:
    """Return the length of the output of each named layer that returns a tuple.

    Args:
        module: the network. It is put into evaluation mode.
        example: the input to run it on.
        names: names of the layers.
    """
    lengths: dict[str, int] = {}

    def noting(name: str) -> Callable[..., None]:
        def note(_layer: nn.Module, _inputs: tuple[Any, ...], output: object) -> None:
            if isinstance(output, tuple):
                lengths[name] = len(output)

        return note

    hooks = [module.get_submodule(name).register_forward_hook(noting(name)) for name in names]
    module.eval()(example)
    for hook in hooks:
        hook.remove()
    return lengths
