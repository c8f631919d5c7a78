"""Quantize numbers to few bits: optimal levels for a normal variable, and packing of columns of different widths."""

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MOST = 6
"""Largest number of bits per number."""
SAMPLE, ROUNDS = 1 << 14, 200
Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]


@cache
def levels(bits: int) -> Floats:
    """Return the levels (2 ** bits,) with the least mean squared error for a standard normal variable (Lloyd, Max)."""
    count, sample_S = 2**bits, _sample()
    # Initial levels: if there are many, the best levels lie at the quantiles of three times the variance.
    levels_L = _quantiles(NormalDist(0, 3**0.5), count)
    for _ in range(ROUNDS):
        cells_S = np.searchsorted(_middles(levels_L), sample_S)
        levels_L = np.bincount(cells_S, sample_S, count) / np.bincount(cells_S, minlength=count)
    return levels_L


@cache
def errors() -> Floats:
    """Return the mean squared error (MOST + 1,) of a standard normal variable at 0, 1, ... bits."""
    return np.array([np.mean((_sample() - nearest(_sample(), bits)[1]) ** 2) for bits in range(MOST + 1)])


def nearest(values_N: Floats, bits: int) -> tuple[Codes, Floats]:
    """Return the index (N,) of each number's nearest level, and the level. The numbers have a deviation of about 1."""
    codes_N = np.searchsorted(_middles(levels(bits)), values_N).astype(np.uint8)
    return codes_N, levels(bits)[codes_N]


def quantize(values_NK: Floats, bits_K: Codes) -> Codes:
    """Return the index (N, K) of each number's nearest level."""
    codes_NK = np.zeros(values_NK.shape, np.uint8)
    for column, bits in enumerate(bits_K.tolist()):
        codes_NK[:, column] = nearest(values_NK[:, column], bits)[0]
    return codes_NK


def dequantize(codes_NK: Codes, bits_K: Codes) -> Floats:
    """Return the levels (N, K) of the indices."""
    values_NK = np.zeros(codes_NK.shape)
    for column, bits in enumerate(bits_K.tolist()):
        values_NK[:, column] = levels(bits)[codes_NK[:, column]]
    return values_NK


def pack(codes_NK: Codes, bits_K: Codes) -> Codes:
    """Pack into rows (N, bytes).

    First comes the highest bit (the sign) of every column, then the next bit of the columns that have one, and so on.
    """
    planes = [codes_NK[:, wide] >> (bits_K[wide] - 1 - plane) & 1 for plane, wide in enumerate(_planes(bits_K))]
    return np.packbits(np.concatenate([codes_NK[:, :0], *planes], axis=1), axis=1)


def unpack(rows_NB: Codes, bits_K: Codes) -> Codes:
    """Reverse `pack`."""
    codes_NK, start = np.zeros((len(rows_NB), len(bits_K)), np.uint8), 0
    flat_NT = np.unpackbits(rows_NB, axis=1, count=int(bits_K.sum()))
    for wide in _planes(bits_K):
        end = start + int(wide.sum())
        codes_NK[:, wide] = 2 * codes_NK[:, wide] + flat_NT[:, start:end]
        start = end
    return codes_NK


def _planes(bits_K: Codes) -> list[NDArray[np.bool_]]:
    return [bits_K > plane for plane in range(int(bits_K.max(initial=0)))]


def _middles(levels_L: Floats) -> Floats:
    middles_M: Floats = (levels_L[1:] + levels_L[:-1]) / 2
    return middles_M


def _quantiles(normal: NormalDist, count: int) -> Floats:
    return np.array([normal.inv_cdf((place + 0.5) / count) for place in range(count)])


@cache
def _sample() -> Floats:
    return _quantiles(NormalDist(), SAMPLE)
