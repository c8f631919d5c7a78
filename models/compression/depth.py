"""Depth pruning: remove whole blocks, one by one, starting with the block that changes the outputs least.

The search is greedy. After each removal, every remaining block is scored again (SLEB, Song et al. 2024,
arXiv:2402.09025).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.compression.pruning.weights import prunable
from stillhouse.models.compression.shapes import layer_shapes, tuple_lengths
from stillhouse.models.errors import ModelError
from stillhouse.models.training.ready import ready

AT_ONCE, SOUNDS_AT_ONCE = 500, 16
"""Inputs that run together, and recordings, of each of which a speech model makes much more."""


def droppable(module: nn.Module, example: Tensor) -> list[str]:
    """Name the layers that can be dropped: outermost children of a list of layers, with weights and equal shapes.

    A layer can be dropped only if its output has the shape of its input. In an `nn.Sequential` each child is one of the
    layers. An `nn.ModuleList` may hold anything, so there a layer needs a sibling of its form.

    Args:
        module: the network.
        example: one input (1, C, H, W).
    """
    shapes = layer_shapes(module, example)
    found = [
        f"{parent}.{child}".removeprefix(".")
        for parent, container in module.named_modules()
        for child, layer in _layers_of(container)
        if prunable(layer)
    ]
    kept = [name for name in found if name in shapes and shapes[name][0] == shapes[name][1]]
    return [name for name in kept if not any(name.startswith(f"{outer}.") for outer in kept)]


def _layers_of(container: nn.Module) -> list[tuple[str, nn.Module]]:
    layers = list(container.named_children())
    if type(container) is nn.Sequential:  # not its subclasses, which are single layers in several pieces
        return layers
    forms = [_form(layer) for _, layer in layers]
    return [named for named in layers if isinstance(container, nn.ModuleList) and forms.count(_form(named[1])) > 1]


def _form(layer: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, tensor.shape) for name, tensor in layer.named_parameters()]


class Dropped(nn.Module):
    """The place of a dropped layer. It passes on its first input."""

    def __init__(self, length: int = 0) -> None:
        """Return a tensor, or a tuple of this length with the tensor in front."""
        super().__init__()
        self.length = length

    def forward(self, first: Tensor, *_others: object, **_named: object) -> Any:  # noqa: ANN401 - as the layer did
        """Return the first input in the form of the dropped layer's output."""
        return (first, *[None] * (self.length - 1)) if self.length else first


def drop_layers(module: nn.Module, names: Sequence[str], tuples: Mapping[str, int] | None = None) -> nn.Module:
    """Replace layers by identities, in place.

    Args:
        module: the network.
        names: names of the layers.
        tuples: length of the output of each layer that returns a tuple.
    """
    for name in names:
        module.set_submodule(name, Dropped((tuples or {}).get(name, 0)))
    return module


def drop_edit(module: nn.Module, example: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Describe `drop_layers` as an edit of the network that still has the layers."""
    tuples = tuple_lengths(module, example, names)
    return {"edit": "drop_layers", "names": [*names]} | ({"tuples": tuples} if tuples else {})


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
    tuples = tuple_lengths(reduced, inputs[:1], droppable(reduced, inputs[:1]))
    dropped: list[str] = []
    while len(dropped) < layers:
        left = droppable(reduced, inputs[:1])
        harm = {name: _harm(reduced, name, tuples, inputs, wanted_NK) for name in left}
        if not harm:
            msg = (
                f"drop_layers is to take out {layers} layers and only {len(dropped)} can go, as the others change the "
                "shape; lower layers, or place the step before fold"
            )
            raise ModelError(msg)
        dropped.append(min(harm, key=harm.__getitem__))
        drop_layers(reduced, dropped[-1:], tuples)
    return dropped


def _harm(module: nn.Module, name: str, tuples: Mapping[str, int], inputs: Tensor, wanted_NK: Tensor) -> float:
    layer = module.get_submodule(name)
    drop_layers(module, [name], tuples)
    given_NK = _log_probabilities(module, inputs)
    module.set_submodule(name, layer)
    return float(functional.kl_div(given_NK, wanted_NK, reduction="batchmean", log_target=True))


def _log_probabilities(module: nn.Module, inputs: Tensor) -> Tensor:
    at_once = SOUNDS_AT_ONCE if inputs.dtype == torch.int16 else AT_ONCE
    logits_NK = torch.cat([module(ready(batch)) for batch in inputs.split(at_once)])
    return functional.log_softmax(logits_NK, dim=1)
