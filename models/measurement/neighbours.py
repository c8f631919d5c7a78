"""How many of each example's nearest neighbours stay when another model embeds the same examples."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
AT_ONCE = 512
"""Examples whose similarities to all others lie in memory together."""


def nearest(vectors_ND: Vectors, count: int) -> NDArray[np.int64]:
    """Return the places (N, count) of the nearest other examples, the nearest first.

    Args:
        vectors_ND: unit vectors. Nearness is their cosine.
        count: number of neighbours, fewer than the examples.
    """
    found = []
    for start in range(0, len(vectors_ND), AT_ONCE):
        cosines_BN = vectors_ND[start : start + AT_ONCE] @ vectors_ND.T
        rows_B = np.arange(len(cosines_BN))
        cosines_BN[rows_B, start + rows_B] = -np.inf
        few_BK = np.argpartition(-cosines_BN, count - 1, axis=1)[:, :count]
        order_BK = np.argsort(-np.take_along_axis(cosines_BN, few_BK, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(few_BK, order_BK, 1))
    return np.concatenate(found)


def share_kept(nearest_NK: NDArray[np.int64], reference_NK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each example's reference neighbours that are among its neighbours (N)."""
    kept_NKK = nearest_NK[:, :, None] == reference_NK[:, None, :]
    shares_N: NDArray[np.float64] = kept_NKK.any(1).mean(1)
    return shares_N
