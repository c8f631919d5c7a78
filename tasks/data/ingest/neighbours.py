"""Check whether labels are plausible: compare each picture's label with the labels of its nearest neighbours.

Distances are taken between pixels. The check detects a batch with meaningless labels. It does not detect a few wrong
labels among many correct ones.
"""

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.images import Images

NEIGHBOURS = 5
BLOCK = 256
"""Pictures per block of distances. The distances of one block to 52,000 pictures take 53 MB."""


def agreement(known: Images, asked: Images) -> float:
    """Return the share of asked pictures whose label is the majority label of their nearest known pictures.

    In a tie, the nearest picture decides.
    """
    known_NP, asked_MP = _flat(known), _flat(asked)
    squares_N = (known_NP**2).sum(axis=1)
    agreeing = 0
    for start in range(0, len(asked_MP), BLOCK):
        distances_BN = squares_N - 2 * asked_MP[start : start + BLOCK] @ known_NP.T
        votes_BK = known.labels_N[_nearest(distances_BN)]
        agreeing += int((_majority(votes_BK) == asked.labels_N[start : start + BLOCK]).sum())
    return agreeing / len(asked_MP)


def _flat(images: Images) -> NDArray[np.float32]:
    return images.images_NCHW.reshape(len(images), -1).astype(np.float32)


def _nearest(distances_BN: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find the few nearest columns of each row, the nearest first."""
    few = min(NEIGHBOURS, distances_BN.shape[1])
    unsorted_BK = np.argpartition(distances_BN, few - 1, axis=1)[:, :few]
    order_BK = np.argsort(np.take_along_axis(distances_BN, unsorted_BK, axis=1), axis=1)
    return np.take_along_axis(unsorted_BK, order_BK, axis=1)


def _majority(votes_BK: NDArray[np.int64]) -> NDArray[np.int64]:
    counts_BK = (votes_BK[:, :, None] == votes_BK[:, None, :]).sum(axis=2)
    return np.take_along_axis(votes_BK, counts_BK.argmax(axis=1, keepdims=True), axis=1)[:, 0]
