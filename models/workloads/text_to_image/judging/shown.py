"""Does a picture show what was asked for? Its class must be among the first that a classifier sees."""

import numpy as np
from numpy.typing import NDArray

MOST = 10
"""Most classes that count as seen first: recall@10."""


def seen_first(classes: int) -> int:
    """Return how many classes count as seen first: a tenth of all, and at most ten."""
    return max(1, min(MOST, classes // 10))


def shown(logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of each picture (N) whether its class is seen first."""
    own_N1 = np.take_along_axis(logits_NK, labels_N[:, None], axis=1)
    first_N: NDArray[np.bool_] = (logits_NK > own_N1).sum(1) < seen_first(logits_NK.shape[1])
    return first_N
