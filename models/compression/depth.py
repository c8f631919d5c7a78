"""Depth pruning: remove whole blocks, one by one, starting with the block that changes the outputs least.

The search is greedy. After each removal, every remaining block is scored again (SLEB, Song et al. 2024,
arXiv:2402.09025).
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.compression.pruning.weights import prunable
from stillhouse.models.compression.shapes import layer_shapes
from stillhouse.models.errors import ModelError
from stillhouse.models.training.ready import ready


def droppable(module: nn.Module, example: Tensor) -> list[str]:
    """Name the layers that can be dropped: outermost children of an `nn.Sequential` with weights and equal shapes.

    A layer can be dropped only if its output has the shape of its input.

    Args:
        module: the network.
        example: one input (1, C, H, W).
    """
    shapes = layer_shapes(module, example)
    found = [
        f"{parent}.{child}".removeprefix(".")
        for parent, container in module.named_modules()
        if type(container) is nn.Sequential  # not its subclasses, which are single layers in several pieces
        for child, layer in container.named_children()
        if prunable(layer)
    ]
    kept = [name for name in found if name in shapes and shapes[name][0] == shapes[name][1]]
    return [name for name in kept if not any(name.startswith(f"{outer}.") for outer in kept)]


class Dropped(nn.Identity):
    """The place of a dropped layer. It passes on its first input."""

    def forward(self, first: Tensor, *_others: Tensor) -> Tensor:
        """Return the first input."""
        return first


def drop_layers(module: nn.Module, names: Sequence[str]) -> nn.Module:
    """Replace layers by identities, in place."""
    for name in names:
        module.set_submodule(name, Dropped())
    return module


@torch.no_grad()
def least_harmful(module: nn.Module, inputs: Tensor, layers: int) -> list[str]:
    """Choose the layers to drop, in the order of removal. The module is not changed.

    The score of a layer is the KL divergence of the outputs without the layer from the outputs of the full model.

    Args:
        module: the network.
        inputs: raw inputs on which the outputs are compared, such as pixels (N, C, H, W).
        layers: number of layers to drop.

    Raises:
        ModelError: the network has fewer droppable layers. The message gives their number.
    """
    reduced = copy.deepcopy(module).eval()
    wanted_NK = _log_probabilities(reduced, inputs)
    dropped: list[str] = []
    while len(dropped) < layers:
        harm = {name: _harm(reduced, name, inputs, wanted_NK) for name in droppable(reduced, inputs[:1])}
        if not harm:
            msg = (
                f"drop_layers is to take out {layers} layers and only {len(dropped)} can go, as the others change the "
                "shape; lower layers, or place the step before fold"
            )
            raise ModelError(msg)
        dropped.append(min(harm, key=harm.__getitem__))
        drop_layers(reduced, dropped[-1:])
    return dropped


def _harm(module: nn.Module, name: str, inputs: Tensor, wanted_NK: Tensor) -> float:
    layer = module.get_submodule(name)
    drop_layers(module, [name])
    given_NK = _log_probabilities(module, inputs)
    module.set_submodule(name, layer)
    return float(functional.kl_div(given_NK, wanted_NK, reduction="batchmean", log_target=True))


def _log_probabilities(module: nn.Module, inputs: Tensor) -> Tensor:
    logits_NK = torch.cat([module(ready(batch)) for batch in inputs.split(500)])
    return functional.log_softmax(logits_NK, dim=1)
