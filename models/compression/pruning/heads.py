"""Structured pruning of attention: whole heads go, with their share of all four linear layers around them.

Torch-Pruning's pruner would apply its ratio to what is left in every round, and take the last head too; so it leaves
heads alone, and they go here.
"""

import math
from collections.abc import Mapping

import torch_pruning as tp
from torch import nn

from stillhouse.models.networks.attention import SelfAttention

LEFT = 0.1
"""Share of the heads that is left at the end, though never less than one in each attention."""


def heads_by_layer(module: nn.Module) -> dict[nn.Linear, int]:
    """Count the heads of every layer that makes queries, keys or values, as Torch-Pruning wants to know them."""
    return {layer: _heads(attention) for attention in _attentions(module) for layer in _makers(attention)}


def prune_heads(pruner: tp.pruner.BasePruner, at_first: Mapping[nn.Linear, int], progress: float) -> None:
    """Take out the least important heads of every attention, in place, as far as `progress` says.

    Args:
        pruner: made for the module, with the heads in `num_heads`.
        at_first: the heads before any pruning.
        progress: from 0, all are left, to 1, `LEFT` of them.
    """
    for attention in _attentions(pruner.model):
        most = max(1, math.ceil(at_first[_makers(attention)[0]] * (1 - (1 - LEFT) * progress)))
        while _heads(attention) > most:
            _remove_least(pruner, attention)


def _attentions(module: nn.Module) -> list[SelfAttention]:
    return [layer for layer in module.modules() if isinstance(layer, SelfAttention)]


def _makers(attention: SelfAttention) -> list[nn.Linear]:
    """List the layers that make queries, keys and values; of a factorised one, the last factor."""
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
