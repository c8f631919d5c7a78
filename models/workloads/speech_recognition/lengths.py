"""Group recordings of different lengths, so that a batch holds little silence after their ends."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GRAIN = 5_120
"""Samples, 0.32 s. Silence fills every recording up to a multiple of this length, in training and when it ships.

It is a multiple of the samples of a frame, so a network gives the same letters in any batch.
"""
TAIL = 1_600
"""Least silence after the end of a recording in samples, so that the last letter has time."""


def padded_length(samples: int) -> int:
    """Return the samples of a recording with the silence after its end."""
    return -(-(samples + TAIL) // GRAIN) * GRAIN


def pad_together(recordings: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """Return recordings as one array (N, T), filled with silence."""
    length = padded_length(max(map(len, recordings)))
    samples_NT = np.zeros((len(recordings), length), np.int16)
    for row_T, samples_T in zip(samples_NT, recordings, strict=True):
        row_T[: len(samples_T)] = samples_T
    return samples_NT


def group_equal(recordings: Sequence[NDArray[np.int16]], most: int) -> list[list[int]]:
    """Return the places of recordings that have the same padded length, at most `most` samples together."""
    groups: dict[int, list[list[int]]] = {}
    for place, samples_T in enumerate(recordings):
        length = padded_length(len(samples_T))
        batches = groups.setdefault(length, [[]])
        if (len(batches[-1]) + 1) * length > most and batches[-1]:
            batches.append([])
        batches[-1].append(place)
    return [batch for _, batches in sorted(groups.items()) for batch in batches]


def group_similar(lengths_N: NDArray[np.int64], most: int, generator: np.random.Generator) -> list[list[int]]:
    """Divide recordings into batches of similar lengths, at most `most` samples together, in random order.

    Args:
        lengths_N: samples of each recording.
        most: samples of a batch with the silence that fills it. A single longer recording is a batch.
        generator: lengths are compared with some chance, so that the batches differ from epoch to epoch.
    """
    chance_N = np.exp(generator.uniform(-LOOSE, LOOSE, len(lengths_N)))
    batches: list[list[int]] = [[]]
    longest = 0
    for place in np.argsort(lengths_N * chance_N, kind="stable").tolist():
        longest = max(longest, padded_length(int(lengths_N[place])))
        if batches[-1] and longest * (len(batches[-1]) + 1) > most:
            batches.append([])
            longest = padded_length(int(lengths_N[place]))
        batches[-1].append(place)
    return [batches[number] for number in generator.permutation(len(batches))]


LOOSE = 0.1
"""Largest absolute logarithm by which a length counts as longer or shorter."""
