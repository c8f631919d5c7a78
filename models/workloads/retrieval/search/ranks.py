"""Ranks of the correct answers in retrieval, and recall. Numpy only.

A tie counts as an error: if a correct answer has the same similarity as a wrong one, it was not found.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
CUTS = (1, 5, 10)
"""The k of recall@k."""


def ranks(similarity_QG: NDArray[np.floating], right_QG: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rank (Q,) of each query's first correct answer, from 0. Wrong answers of equal similarity come first.

    Args:
        similarity_QG: similarity of every query to every gallery item.
        right_QG: correct gallery items of each query, at least one.
    """
    best_Q1 = np.where(right_QG, similarity_QG, -np.inf).max(axis=1, keepdims=True)
    places_Q: NDArray[np.int64] = ((similarity_QG >= best_Q1) & ~right_QG).sum(axis=1)
    return places_Q


def recall(places: NDArray[np.int64], k: int) -> float:
    """Return the share of queries whose correct answer is among the first k."""
    return float((places < k).mean())
