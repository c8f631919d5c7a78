"""Compress vectors to few bits along the principal directions of their gallery: the signs first, then finer bits.

A gallery is stored as the product of levels (G, K), scales (K,) and directions (D, K). A direction with more variance
gets more bits. The directions themselves are stored with as many bits, so that the byte count includes all shared data.
Subtracting the gallery's mean does not change the order of answers, so the mean is not stored.

If typical queries are known, an error along a direction is weighted by the spread of the queries along it, because
queries do not use most directions of the shared space. As in score-aware quantization (Guo et al. 2020,
arXiv:1908.10396), the aim is to preserve the similarities and not the vectors. The queries are not stored.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_codes.lloyd_max import (
    Codes,
    Floats,
    dequantize,
    errors,
    nearest,
    pack,
    quantize,
    unpack,
)
from stillhouse.models.workloads.retrieval.search.ranks import Vectors

Arrays = dict[str, NDArray[Any]]
ROUNDS = 4
"""Number of rounds in which directions and levels are fitted to each other in turn."""
NOTE_BYTES = 3
"""Stored bytes per direction besides its row: the number of bits, and a scale."""
NOTHING = 1e-12
"""A smaller gain, as a share of the largest variance, is a rounding error."""
TRUST = 0.8
"""Exponent of the queries' spread in the weight of a squared error. At 1, recall varied more between galleries."""
LONGEST = 1.3
"""Largest stretch of a scale when directions are weighted, because the equations hardly separate some directions."""


def encode(vectors_GD: Vectors, most_bytes: int, queries_QD: Vectors | None = None) -> Arrays:
    """Compress vectors to at most `most_bytes` bytes, all data counted, but at least one byte per row.

    Args:
        vectors_GD: the gallery.
        most_bytes: limit for all stored data.
        queries_QD: typical queries, not used in the evaluation. If None, all directions have equal weight.
    """
    centred_GD = vectors_GD - vectors_GD.mean(axis=0, dtype=np.float64)
    weight_DD = np.eye(centred_GD.shape[1]) if queries_QD is None else _weight(queries_QD)
    seen_GD = centred_GD @ weight_DD
    places_GK, spread_K, _ = np.linalg.svd(seen_GD, full_matrices=False)
    row_bytes = max(1, (most_bytes - NOTE_BYTES * len(spread_K)) // sum(vectors_GD.shape))
    bits_K = allot_bits(spread_K**2, 8 * row_bytes)
    codes_GK = quantize(places_GK[:, : len(bits_K)] * len(places_GK) ** 0.5, bits_K)
    for _ in range(ROUNDS):
        directions, scales_K = _fit(dequantize(codes_GK, bits_K), centred_GD, bits_K)
        seen_DK = weight_DD @ _unroll(directions, bits_K)
        codes_GK = _swept(codes_GK, seen_GD, seen_DK * scales_K, bits_K)
    unbiased_K = _scale_without_bias(dequantize(codes_GK, bits_K), seen_GD, seen_DK)
    if queries_QD is not None:
        unbiased_K = np.clip(unbiased_K, scales_K, LONGEST * scales_K)
    return {
        "bits": bits_K,
        "scales": unbiased_K.astype(np.float16),
        "directions": directions,
        "codes": pack(codes_GK, bits_K),
    }


def allot_bits(variance_K: Floats, total: int) -> Codes:
    """Allot each bit to the direction where it reduces the squared error most. Directions without bits are dropped.

    Args:
        variance_K: variance along each direction, the largest first.
        total: number of bits. If no bit gives a gain any more, the rest is not used.
    """
    bits_K = np.zeros(len(variance_K), np.uint8)
    gain_B = np.append(-np.diff(errors()), 0)
    for _ in range(total):
        gain_K = variance_K * gain_B[bits_K]
        best = gain_K.argmax()
        bits_K[best] += gain_K[best] > NOTHING * variance_K[0]
    return bits_K[bits_K > 0]


def project_queries(arrays: Arrays, queries_QD: Vectors) -> NDArray[np.floating]:
    """Project queries (Q, K) on the directions, scaled to match the signs or levels."""
    queries_QK: NDArray[np.floating] = queries_QD @ _unroll(arrays["directions"], arrays["bits"]) * arrays["scales"]
    return queries_QK


def signs(arrays: Arrays) -> NDArray[np.floating]:
    """Return the signs (G, K) of the vectors, the first bits of their rows."""
    signs_GK: NDArray[np.floating] = 2.0 * np.unpackbits(arrays["codes"], axis=1, count=len(arrays["bits"])) - 1
    return signs_GK


def levels(arrays: Arrays) -> Floats:
    """Return the levels (G, K) of the vectors, from all their bits."""
    return _unroll(arrays["codes"], arrays["bits"])


def _weight(queries_QD: Vectors) -> Floats:
    """Return the weight of directions (D, D), symmetric, from the spread of the queries.

    The fewer queries there are, the more the weights are shrunk towards equal weights.
    """
    count, dimension = queries_QD.shape
    reach_D, axes_DD = np.linalg.eigh(queries_QD.T.astype(np.float64) @ queries_QD)
    alike = dimension / (count + dimension)
    reach_D = (1 - alike) * np.maximum(reach_D, 0) / reach_D.mean() + alike
    weight_DD: Floats = axes_DD * reach_D ** (TRUST / 2) @ axes_DD.T
    return weight_DD


def _fit(levels_GK: Floats, centred_GD: Floats, bits_K: Codes) -> tuple[Codes, Floats]:
    """Return the packed rows of the directions that fit the levels best (least squares), and their scales."""
    exact_KD = np.linalg.lstsq(levels_GK, centred_GD, rcond=None)[0]
    scales_K: Floats = np.maximum((exact_KD**2).mean(axis=1) ** 0.5, NOTHING)
    return pack(quantize((exact_KD / scales_K[:, None]).T, bits_K), bits_K), scales_K


def _swept(codes_GK: Codes, centred_GD: Floats, directions_DK: Floats, bits_K: Codes) -> Codes:
    """Choose every level again, one direction after the other, given the residual of all other directions."""
    levels_GK = dequantize(codes_GK, bits_K)
    rest_GD = centred_GD - levels_GK @ directions_DK.T
    better_GK = np.empty_like(codes_GK)
    for place, (bits, direction_D) in enumerate(zip(bits_K.tolist(), directions_DK.T, strict=True)):
        rest_GD += np.outer(levels_GK[:, place], direction_D)
        better_GK[:, place], level_G = nearest(rest_GD @ direction_D / (direction_D @ direction_D), bits)
        rest_GD -= np.outer(level_G, direction_D)
    return better_GK


def _scale_without_bias(levels_GK: Floats, centred_GD: Floats, directions_DK: Floats) -> Floats:
    """Return scales (K,) that keep the extent of the gallery along every direction the same as before rounding.

    Least-squares scales would make it smaller, and more so with fewer bits. The aim of an unbiased similarity estimate
    is from RaBitQ (Gao and Long 2024, arXiv:2405.12497).
    """
    before_GK = centred_GD @ directions_DK
    after_KK = (before_GK.T @ levels_GK) * (directions_DK.T @ directions_DK)
    scales_K: Floats = np.linalg.lstsq(after_KK, (before_GK**2).sum(axis=0), rcond=None)[0]
    return scales_K


def _unroll(rows_NB: Codes, bits_K: Codes) -> Floats:
    return dequantize(unpack(rows_NB, bits_K), bits_K)
