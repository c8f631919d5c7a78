"""Structured pruning of attention: remove whole heads, with their rows and columns in all four linear layers.

Torch-Pruning's pruner would apply its ratio to the remaining heads in every round and would remove the last head too.
So the pruner does not touch heads, and this module removes them.
"""

import math
from collections.abc import Mapping

import torch_pruning as tp
from torch import nn

from stillhouse.models.networks.attention import SelfAttention

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


def _attentions(module: nn.Module) -> list[SelfAttention]:
    return [layer for layer in module.modules() if isinstance(layer, SelfAttention)]


def _makers(attention: SelfAttention) -> list[nn.Linear]:
    """List the layers that compute queries, keys and values. For a factorised layer, list its last factor."""
    made = (attention.query, attention.key, attention.value)
    return [[layer for layer in maker.modules() if isinstance(layer, nn.Linear)][-1] for maker in made]


def _heads(attention: SelfAttention) -> int:
    return _makers(attention)[0].out_features // attention.head_width


def _remove_least(pruner: tp.pruner.BasePruner, attention: SelfAttention) -> None:
    width = attention.head_width
    importance_C = pruner.importance(_group(pruner, attention, range(_heads(attention) * width)))
    least = int(importance_C.view(-1, width).mean(1).argmin())
    _group(pruner, attention, range(least * width, (least + 1) * width)).prune()
    for layer in _makers(attention):
        pruner.num_heads[layer] = pruner.out_channel_groups[layer] = _heads(attention)


def _group(pruner: tp.pruner.BasePruner, attention: SelfAttention, channels: range) -> tp.Group:
    return pruner.DG.get_pruning_group(_makers(attention)[0], tp.prune_linear_out_channels, list(channels))
