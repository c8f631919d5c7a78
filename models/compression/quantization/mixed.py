"""Mixed precision: every layer gets the fewest bits that its measured quality loss allows.

The search is greedy. The quality loss of a layer is measured with only that layer rounded. The change with the least
loss per saved byte is made first. The end of the search is decided by the quality of the whole model, because losses
need not add up, and because a loss measured on a few hundred examples is mostly noise.
"""

from bisect import bisect
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from stillhouse.models.compression.quantization.rounding import per_channel, round_weight

Score = Callable[[nn.Module], float]
FLOAT = 32
FEWER = {FLOAT: 8, 8: 4, 4: 2}
Damages = Mapping[str, Mapping[int, float]]
"""Quality loss, at least 0, by layer and bits."""


def fewest_bits(
    module: nn.Module, layers: Iterable[str], score: Score, most_damage: float, tell: Callable[[str], None]
) -> dict[str, int]:
    """Choose 8, 4 or 2 bits for every layer. A layer that loses too much even with 8 bits stays float.

    Args:
        module: float and folded. It is the same afterwards.
        layers: names of the convolutions and linear layers to quantize.
        score: quality, from 0 to 1. Higher is better.
        most_damage: largest quality loss when all layers are rounded together.
        tell: receives one line per layer, with its bits and the losses that decided.
    """
    damages = layer_damages(module, layers, score)
    weights = {name: module.get_parameter(f"{name}.weight").numel() for name in damages}
    purchases = cheapest_first(damages, weights)
    least = score(module) - most_damage

    def too_many(count: int) -> bool:
        return _score_rounded(module, score, dict(purchases[:count])) < least

    bits = dict(purchases[: bisect(range(1, len(purchases) + 1), x=False, key=too_many)])
    for name, damage in damages.items():
        tell(f"{name}: {_words(bits.get(name, FLOAT))}; alone, {_list_damage(damage)}")
    return {name: bits[name] for name in damages if name in bits}


def layer_damages(module: nn.Module, layers: Iterable[str], score: Score) -> dict[str, dict[int, float]]:
    """Measure the quality loss, at least 0, of rounding only one layer, for every layer and for 8, 4 and 2 bits."""
    whole = score(module)
    return {
        name: {bits: max(0.0, whole - _score_rounded(module, score, {name: bits})) for bits in FEWER.values()}
        for name in layers
    }


def cheapest_first(damages: Damages, weights: Mapping[str, int]) -> list[tuple[str, int]]:
    """Order the reductions of bits by loss per saved byte, the smallest first, until all layers have the fewest bits.

    Args:
        damages: quality loss of each layer alone, by layer and bits.
        weights: number of weights of each layer.

    Returns:
        (layer, bits) in the order of the search. The last entry of a layer is its final number of bits.
    """
    bits, bought = dict.fromkeys(damages, FLOAT), list[tuple[str, int]]()

    def price(name: str) -> tuple[float, float]:
        saved = weights[name] * (bits[name] - FEWER[bits[name]]) / 8
        return _extra(damages[name], bits[name]) / saved, -saved

    while offers := [name for name in damages if bits[name] in FEWER]:
        name = min(offers, key=price)
        bits[name] = FEWER[bits[name]]
        bought.append((name, bits[name]))
    return bought


def _extra(damage: Mapping[int, float], bits: int) -> float:
    return max(0.0, damage[FEWER[bits]] - damage.get(bits, 0.0))


@torch.no_grad()
def _score_rounded(module: nn.Module, score: Score, bits: Mapping[str, int]) -> float:
    parameters = {name: module.get_parameter(f"{name}.weight") for name in bits}
    before = {name: parameter.clone() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        stored = round_weight(parameter, bits[name])
        parameter.copy_(stored.integers * per_channel(stored.scale_O, parameter))
    try:
        return score(module)
    finally:
        for name, parameter in parameters.items():
            parameter.copy_(before[name])


def _words(bits: int) -> str:
    return "stays float" if bits == FLOAT else f"{bits} bits"


def _list_damage(damage: Mapping[int, float]) -> str:
    return ", ".join(f"{bits} bits cost {lost:.2%}" for bits, lost in damage.items())
