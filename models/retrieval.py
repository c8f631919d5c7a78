"""Quality of retrieval from vectors: where the right answer stands in the list, both ways. Numpy only.

A tie counts against whoever asked: an answer that cannot be told from another one has not been found.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
CUTS = (1, 5, 10)
"""The k of recall@k."""


def ranks(similarity_QG: NDArray[np.floating], right_Q: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place (Q,) of the right answer in each query's list, from 0; all that are as similar stand before it.

    Args:
        similarity_QG: of every query to all of the gallery.
        right_Q: which of the gallery is right.
    """
    found_Q1 = np.take_along_axis(similarity_QG, right_Q[:, None], axis=1)
    places_Q: NDArray[np.int64] = (similarity_QG >= found_Q1).sum(axis=1) - 1
    return places_Q


def both_ways(images_ND: Vectors, texts_ND: Vectors) -> NDArray[np.int64]:
    """Place (2, N) of the image that belongs to each text, and of the text that belongs to each image.

    Args:
        images_ND: unit vectors, one per concept.
        texts_ND: of the same concepts in the same order.
    """
    similarity_NN = texts_ND @ images_ND.T
    own_N = np.arange(len(images_ND))
    return np.stack([ranks(similarity_NN, own_N), ranks(similarity_NN.T, own_N)])


def recall(places: NDArray[np.int64], k: int) -> float:
    """Share of queries whose right answer is among the first k."""
    return float((places < k).mean())


def hits(images_ND: Vectors, texts_TND: Vectors) -> NDArray[np.float64]:
    """Recall@1 (N,) of each concept, from 0 to 1: the mean over both ways and over the languages T."""
    places_T2N = np.stack([both_ways(images_ND, texts_ND) for texts_ND in texts_TND])
    found_N: NDArray[np.float64] = (places_T2N < 1).mean(axis=(0, 1))
    return found_N
