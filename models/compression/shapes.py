"""Input and output shapes of a network's layers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def layer_shapes(module: nn.Module, example: Tensor) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Find the shapes of the first input and of the output of every layer that maps tensors to one tensor, by name.

    Args:
        module: the network. It is put into evaluation mode.
        example: the input to run it on.
    """
    shapes: dict[str, tuple[torch.Size, torch.Size]] = {}

    def noting(name: str) -> Callable[..., None]:
        def note(_layer: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                shapes[name] = (inputs[0].shape, output.shape)

        return note

    hooks = [layer.register_forward_hook(noting(name)) for name, layer in module.named_modules()]
    module.eval()(example)
    for hook in hooks:
        hook.remove()
    return shapes
