"""Rounding a weight to a few integers, one scale per output channel: the formulas, without layers or files.

Symmetric: 8 bits are -63..63, 4 bits -7..7, 3 bits -3..3, 2 bits the ternary -1, 0, 1. Rounding twice changes no
integer.

Why not -127..127? A processor without VNNI adds two products with uint8 activations in 16 bits, for which 2 * 255 * 127
is too large: it saturates without a word, and a model answers otherwise there than where it was judged. ONNX Runtime's
name for the remedy is `reduce_range`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

BITS = {"int8": 8, "int4": 4, "int3": 3, "ternary": 2}
LARGEST = {8: 63, 4: 7, 3: 3, 2: 1}
"""Largest integer by bits."""
THRESHOLD = 0.7
"""Ternary weights are 0 up to this share of the channel's mean magnitude."""


@dataclass(frozen=True)
class Stored:
    """The integer weight of one layer."""

    integers: Tensor
    """int8, shaped as the weight, output channels first."""
    scale_O: Tensor
    """float32, greater than 0."""


def rounded(weight: Tensor, bits: int) -> Stored:
    """Quantize a weight (O, ...) without training, to 8, 4, 3 or 2 bits.

    8 bits are scaled by the channel's largest magnitude, 4 and 3 bits by the share of it, from 0.5 to 1, that leaves
    the least squared error. 2 bits are ternary weight networks (arXiv:1605.04711): the sign where the
    magnitude exceeds 0.7 of the channel's mean magnitude, scaled by the mean of those magnitudes.
    """
    weight = weight.detach()
    scale_O = _SCALES[bits](weight)
    steps = weight.sign() * _over_threshold(weight) if LARGEST[bits] == 1 else weight / per_channel(scale_O, weight)
    return Stored(torch.round(steps).clamp(-LARGEST[bits], LARGEST[bits]).to(torch.int8), scale_O)


def proportional(weight: Tensor, integers: Tensor) -> Stored:
    """Find the scales of known integers in a weight (O, ...) whose channels are multiples of them.

    So are the weights of a layer trained as integers, once its batch norm is folded. A channel multiplied by a
    negative number changes the sign of its integers, one multiplied by 0 loses them.
    """
    dense_OI, integers_OI = weight.detach().double().flatten(1), integers.double().flatten(1)
    factor_O = (dense_OI * integers_OI).sum(1) / integers_OI.square().sum(1).clamp(min=1)
    signed = integers * per_channel(factor_O.sign(), integers)
    return Stored(signed.to(torch.int8), _usable(factor_O.abs().float()))


def per_channel(values_O: Tensor, weight: Tensor) -> Tensor:
    """Reshape (O,) so that it broadcasts over a weight (O, ...)."""
    return values_O.reshape(-1, *[1] * (weight.ndim - 1))


def _largest(weight: Tensor) -> Tensor:
    return _usable(weight.abs().flatten(1).amax(1))


def _by_largest(weight: Tensor) -> Tensor:
    return _largest(weight) / LARGEST[8]


def _by_clipping(weight: Tensor, bits: int) -> Tensor:
    whole_O = _largest(weight) / LARGEST[bits]
    shares = [percent / 100 for percent in range(100, 49, -2)]
    error_SO = torch.stack([_squared_error(weight, whole_O * share, bits) for share in shares])
    return whole_O * torch.tensor(shares)[error_SO.argmin(0)]


def _by_threshold(weight: Tensor) -> Tensor:
    over = _over_threshold(weight)
    return _usable((weight.abs() * over).flatten(1).sum(1) / over.flatten(1).sum(1).clamp(min=1))


_SCALES: dict[int, Callable[[Tensor], Tensor]] = {
    8: _by_largest,
    4: partial(_by_clipping, bits=4),
    3: partial(_by_clipping, bits=3),
    2: _by_threshold,
}


def _over_threshold(weight: Tensor) -> Tensor:
    magnitude = weight.abs()
    return magnitude > THRESHOLD * per_channel(magnitude.flatten(1).mean(1), weight)


def _squared_error(weight: Tensor, scale_O: Tensor, bits: int) -> Tensor:
    scale = per_channel(scale_O, weight)
    nearest = (weight / scale).round().clamp(-LARGEST[bits], LARGEST[bits]) * scale
    return (nearest - weight).square().flatten(1).sum(1)


def _usable(size_O: Tensor) -> Tensor:
    """Replace 0, which a channel of zeros gives, by 1: nothing may be divided by it."""
    return torch.where(size_O < torch.finfo(torch.float32).tiny, torch.ones_like(size_O), size_O)
