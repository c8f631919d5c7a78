"""Quality of retrieval from vectors: where the first right answer stands in the list. Numpy only.

A tie counts against whoever asked: an answer that cannot be told from a wrong one has not been found.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
CUTS = (1, 5, 10)
"""The k of recall@k."""


def ranks(similarity_QG: NDArray[np.floating], right_QG: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Place (Q,) of the first right answer in each query's list, from 0; all wrong ones as similar stand before it.

    Args:
        similarity_QG: of every query to all of the gallery.
        right_QG: which of the gallery answer each query; at least one does.
    """
    best_Q1 = np.where(right_QG, similarity_QG, -np.inf).max(axis=1, keepdims=True)
    places_Q: NDArray[np.int64] = ((similarity_QG >= best_Q1) & ~right_QG).sum(axis=1)
    return places_Q


def recall(places: NDArray[np.int64], k: int) -> float:
    """Share of queries whose right answer is among the first k."""
    return float((places < k).mean())
