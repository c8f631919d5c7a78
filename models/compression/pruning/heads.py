"""Structured pruning of attention: remove whole heads, with their rows and columns in all four linear layers.

Torch-Pruning's pruner would apply its ratio to the remaining heads in every round and would remove the last head too.
So the pruner does not touch heads, and this module removes them.
"""

import math
from collections.abc import Mapping

import torch_pruning as tp
from torch import nn

NAMES = (("query", "key", "value", "head_width"), ("q_proj", "k_proj", "v_proj", "head_dim"))
"""Names of the three layers and of the width of a head, in our networks and in those of transformers.

Such an attention finds the number of its heads by the sizes of its layers.
"""
LEFT = 0.1
"""Share of the heads that is left at the end. Each attention keeps at least one head."""


def heads_by_layer(module: nn.Module) -> dict[nn.Linear, int]:
    """Count the heads of every layer that computes queries, keys or values, in the form that Torch-Pruning expects."""
    return {layer: _heads(attention) for attention in _attentions(module) for layer in _makers(attention)}


def prune_heads(pruner: tp.pruner.BasePruner, at_first: Mapping[nn.Linear, int], progress: float) -> None:
    """Remove the least important heads of every attention, in place.

    Args:
        pruner: the module's pruner, with the heads in `num_heads`.
        at_first: the number of heads before any pruning.
        progress: 0 keeps all heads, 1 keeps the share `LEFT`.
    """
    for attention in _attentions(pruner.model):
        most = max(1, math.ceil(at_first[_makers(attention)[0]] * (1 - (1 - LEFT) * progress)))
        while _heads(attention) > most:
            _remove_least(pruner, attention)


def _attentions(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if _names_in(layer)]


def _names_in(layer: nn.Module) -> tuple[str, ...] | None:
    return next((names for names in NAMES if all(hasattr(layer, name) for name in names)), None)


def _makers(attention: nn.Module) -> list[nn.Linear]:
    """List the layers that compute queries, keys and values. For a factorised layer, list its last factor."""
    made = [attention.get_submodule(name) for name in (_names_in(attention) or ())[:-1]]
    return [[layer for layer in maker.modules() if isinstance(layer, nn.Linear)][-1] for maker in made]


def _width(attention: nn.Module) -> int:
    return int(getattr(attention, (_names_in(attention) or ("",))[-1]))


def _heads(attention: nn.Module) -> int:
    return _makers(attention)[0].out_features // _width(attention)


def _remove_least(pruner: tp.pruner.BasePruner, attention: nn.Module) -> None:
    width = _width(attention)
    importance_C = pruner.importance(_group(pruner, attention, range(_heads(attention) * width)))
    least = int(importance_C.view(-1, width).mean(1).argmin())
    _group(pruner, attention, range(least * width, (least + 1) * width)).prune()
    for layer in _makers(attention):
        pruner.num_heads[layer] = pruner.out_channel_groups[layer] = _heads(attention)


def _group(pruner: tp.pruner.BasePruner, attention: nn.Module, channels: range) -> tp.Group:
    return pruner.DG.get_pruning_group(_makers(attention)[0], tp.prune_linear_out_channels, list(channels))
