"""Vectors as few bits along the principal directions of their gallery: the signs first, then what makes them finer.

A gallery is kept as the product of levels (G, K), scales (K,) and directions (D, K). A direction gets the more bits the
more the gallery spreads along it, and is itself kept at as many, so that nothing shared is left out of the count.
Subtracting the gallery's mean changes no order, so the mean is not kept.

Where typical queries are known, an error counts by how far they reach along it: none looks at most of a space that
queries and gallery share. As in score-aware quantization (Guo et al. 2020, arXiv:1908.10396) not the vectors are to be
kept, but what they are asked for. Nothing of the queries is kept.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.workloads.retrieval.search.lloyd_max import (
    Codes,
    Floats,
    errors,
    nearest,
    packed,
    restored,
    rounded,
    unpacked,
)
from stillhouse.models.workloads.retrieval.search.ranks import Vectors

Arrays = dict[str, NDArray[Any]]
ROUNDS = 4
"""How often directions and levels are fitted to each other in turn."""
NOTE_BYTES = 3
"""What is kept of a direction besides its row: how many bits, and a scale."""
NOTHING = 1e-12
"""A gain that is rounding, as a part of the largest variance."""
TRUST = 0.8
"""Power of the queries' spread by which a squared error counts; at 1, recall varied more between galleries."""
LONGEST = 1.3
"""Most by which a scale is stretched where directions are weighed: its equations hardly tell some of them apart."""


def encode(vectors_GD: Vectors, most_bytes: int, queries_QD: Vectors | None = None) -> Arrays:
    """Keep vectors in so many bytes, everything counted, but in no less than one byte a row.

    Args:
        vectors_GD: the gallery.
        most_bytes: of all that is kept.
        queries_QD: typical queries, which no judged one is among; None weighs all directions alike.
    """
    centred_GD = vectors_GD - vectors_GD.mean(axis=0, dtype=np.float64)
    weight_DD = np.eye(centred_GD.shape[1]) if queries_QD is None else _weight(queries_QD)
    seen_GD = centred_GD @ weight_DD
    places_GK, spread_K, _ = np.linalg.svd(seen_GD, full_matrices=False)
    row_bytes = max(1, (most_bytes - NOTE_BYTES * len(spread_K)) // sum(vectors_GD.shape))
    bits_K = allotted(spread_K**2, 8 * row_bytes)
    codes_GK = rounded(places_GK[:, : len(bits_K)] * len(places_GK) ** 0.5, bits_K)
    for _ in range(ROUNDS):
        directions, scales_K = _fitted(restored(codes_GK, bits_K), centred_GD, bits_K)
        seen_DK = weight_DD @ _unrolled(directions, bits_K)
        codes_GK = _swept(codes_GK, seen_GD, seen_DK * scales_K, bits_K)
    unbiased_K = _unbiased(restored(codes_GK, bits_K), seen_GD, seen_DK)
    if queries_QD is not None:
        unbiased_K = np.clip(unbiased_K, scales_K, LONGEST * scales_K)
    return {
        "bits": bits_K,
        "scales": unbiased_K.astype(np.float16),
        "directions": directions,
        "codes": packed(codes_GK, bits_K),
    }


def allotted(variance_K: Floats, total: int) -> Codes:
    """Hand out bits, each to the direction where it takes away most squared error; those left without are cut off.

    Args:
        variance_K: along each direction, the largest first.
        total: bits to hand out; the rest stays when there is nothing more to gain.
    """
    bits_K = np.zeros(len(variance_K), np.uint8)
    gain_B = np.append(-np.diff(errors()), 0)
    for _ in range(total):
        gain_K = variance_K * gain_B[bits_K]
        best = gain_K.argmax()
        bits_K[best] += gain_K[best] > NOTHING * variance_K[0]
    return bits_K[bits_K > 0]


def turned(arrays: Arrays, queries_QD: Vectors) -> NDArray[np.floating]:
    """Queries (Q, K) along the directions, scaled so that signs or levels can be held against them."""
    queries_QK: NDArray[np.floating] = queries_QD @ _unrolled(arrays["directions"], arrays["bits"]) * arrays["scales"]
    return queries_QK


def signs(arrays: Arrays) -> NDArray[np.floating]:
    """Only the signs (G, K) of the vectors, the first bits of their rows."""
    signs_GK: NDArray[np.floating] = 2.0 * np.unpackbits(arrays["codes"], axis=1, count=len(arrays["bits"])) - 1
    return signs_GK


def levels(arrays: Arrays) -> Floats:
    """Levels (G, K) of the vectors, all their bits."""
    return _unrolled(arrays["codes"], arrays["bits"])


def _weight(queries_QD: Vectors) -> Floats:
    """Weigh directions (D, D), symmetric, by how far queries reach along them; few queries are drawn towards alike."""
    count, dimension = queries_QD.shape
    reach_D, axes_DD = np.linalg.eigh(queries_QD.T.astype(np.float64) @ queries_QD)
    alike = dimension / (count + dimension)
    reach_D = (1 - alike) * np.maximum(reach_D, 0) / reach_D.mean() + alike
    weight_DD: Floats = axes_DD * reach_D ** (TRUST / 2) @ axes_DD.T
    return weight_DD


def _fitted(levels_GK: Floats, centred_GD: Floats, bits_K: Codes) -> tuple[Codes, Floats]:
    """Rows of the directions that suit the levels best, and their scales."""
    exact_KD = np.linalg.lstsq(levels_GK, centred_GD, rcond=None)[0]
    scales_K: Floats = np.maximum((exact_KD**2).mean(axis=1) ** 0.5, NOTHING)
    return packed(rounded((exact_KD / scales_K[:, None]).T, bits_K), bits_K), scales_K


def _swept(codes_GK: Codes, centred_GD: Floats, directions_DK: Floats, bits_K: Codes) -> Codes:
    """Choose every level again, one direction after the other, in view of what all others leave over."""
    levels_GK = restored(codes_GK, bits_K)
    rest_GD = centred_GD - levels_GK @ directions_DK.T
    better_GK = np.empty_like(codes_GK)
    for place, (bits, direction_D) in enumerate(zip(bits_K.tolist(), directions_DK.T, strict=True)):
        rest_GD += np.outer(levels_GK[:, place], direction_D)
        better_GK[:, place], level_G = nearest(rest_GD @ direction_D / (direction_D @ direction_D), bits)
        rest_GD -= np.outer(level_G, direction_D)
    return better_GK


def _unbiased(levels_GK: Floats, centred_GD: Floats, directions_DK: Floats) -> Floats:
    """Scales (K,) with which the gallery is as long along every direction as it was before rounding.

    Those of least squares would make it shorter, the more so the fewer the bits. That an estimated similarity should be
    right on average is from RaBitQ (Gao and Long 2024, arXiv:2405.12497).
    """
    before_GK = centred_GD @ directions_DK
    after_KK = (before_GK.T @ levels_GK) * (directions_DK.T @ directions_DK)
    scales_K: Floats = np.linalg.lstsq(after_KK, (before_GK**2).sum(axis=0), rcond=None)[0]
    return scales_K


def _unrolled(rows_NB: Codes, bits_K: Codes) -> Floats:
    return restored(unpacked(rows_NB, bits_K), bits_K)
