"""Formulas to round a weight to a few integers, with one scale per output channel. No layers, no files.

Rounding is symmetric: 8 bits are -63..63, 6 bits -31..31, 5 bits -15..15, 4 bits -7..7, 3 bits -3..3, and 2 bits are
the ternary values -1, 0, 1. 6 and 5 bits are stored in whole bytes: what they save, packing saves.
Rounding twice gives the same integers.

8 bits do not use -127..127, because of processors without VNNI. They add two products with uint8 activations in 16
bits, and 2 * 255 * 127 does not fit. The sum saturates silently, so such a processor would give different outputs from
the machine that evaluated the model. ONNX Runtime calls this remedy `reduce_range`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

BITS = {"int8": 8, "int6": 6, "int5": 5, "int4": 4, "int3": 3, "ternary": 2}
LARGEST = {8: 63, 6: 31, 5: 15, 4: 7, 3: 3, 2: 1}
"""Bits -> largest integer."""
THRESHOLD = 0.7
"""A ternary weight is 0 if its magnitude is at most this share of the channel's mean magnitude."""


@dataclass(frozen=True)
class Stored:
    """The integer weight of one layer."""

    integers: Tensor
    """int8, in the shape of the weight, output channels first."""
    scale_O: Tensor
    """float32, greater than 0."""


def round_weight(weight: Tensor, bits: int) -> Stored:
    """Quantize a weight (O, ...) without training, to 8, 6, 5, 4, 3 or 2 bits.

    8 bits: the scale comes from the largest magnitude of the channel. 6 to 3 bits: the scale comes from the share of
    the largest magnitude, from 0.5 to 1, that gives the least squared error.
    2 bits: ternary weight networks
    (arXiv:1605.04711). The integer is the sign if the magnitude exceeds 0.7 of the channel's mean magnitude. The scale
    is the mean of those magnitudes.
    """
    weight = weight.detach()
    scale_O = _SCALES[bits](weight)
    steps = weight.sign() * _over_threshold(weight) if LARGEST[bits] == 1 else weight / per_channel(scale_O, weight)
    return Stored(torch.round(steps).clamp(-LARGEST[bits], LARGEST[bits]).to(torch.int8), scale_O)


def proportional(weight: Tensor, integers: Tensor) -> Stored:
    """Find the scales of known integers in a weight (O, ...) whose channels are multiples of them.

    A layer trained with integers has such a weight after its batch norm is folded. If a channel is multiplied by a
    negative number, its integers change their sign. If a channel is multiplied by 0, its integers become 0.
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
    error_SO = torch.stack([_measure_error(weight, whole_O * share, bits) for share in shares])
    return whole_O * torch.tensor(shares)[error_SO.argmin(0)]


def _by_threshold(weight: Tensor) -> Tensor:
    over = _over_threshold(weight)
    return _usable((weight.abs() * over).flatten(1).sum(1) / over.flatten(1).sum(1).clamp(min=1))


_SCALES: dict[int, Callable[[Tensor], Tensor]] = {
    8: _by_largest,
    6: partial(_by_clipping, bits=6),
    5: partial(_by_clipping, bits=5),
    4: partial(_by_clipping, bits=4),
    3: partial(_by_clipping, bits=3),
    2: _by_threshold,
}


def _over_threshold(weight: Tensor) -> Tensor:
    magnitude = weight.abs()
    return magnitude > THRESHOLD * per_channel(magnitude.flatten(1).mean(1), weight)


def _measure_error(weight: Tensor, scale_O: Tensor, bits: int) -> Tensor:
    scale = per_channel(scale_O, weight)
    nearest = (weight / scale).round().clamp(-LARGEST[bits], LARGEST[bits]) * scale
    return (nearest - weight).square().flatten(1).sum(1)


def _usable(size_O: Tensor) -> Tensor:
    """Replace a scale of 0, which a channel of zeros gives, by 1, so that no division by 0 happens."""
    return torch.where(size_O < torch.finfo(torch.float32).tiny, torch.ones_like(size_O), size_O)
