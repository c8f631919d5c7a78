"""Deal rows to the splits by the digest of their content: a picture or text keeps its split in every later version."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.tasks.errors import DataError

SHARES = {"test": 0.15, "gate": 0.15, "validation": 0.08, "calibration": 0.04}
"""Split -> its share. The rest is for training."""
NAMES = (*SHARES, "train")
ENDS = tuple(accumulate(SHARES.values()))
EACH_LABEL = ("train", "gate", "test")
"""Splits in which every class must have a row."""
ENOUGH = 50
"""A class of so many rows lacks one of these splits in about one of a thousand cases."""
ENOUGH_IN_ALL = 200
"""A dataset of so many rows lacks a split in about one of three thousand cases."""


@dataclass(frozen=True)
class Dealt:
    """Where each of N rows goes."""

    splits_N: NDArray[np.int8]
    """Number of the split in `NAMES`. -1: the row is left out."""
    firsts_N: NDArray[np.int64]
    """The first row with the same content."""
    others_N: NDArray[np.int64]
    """Another class that has the same content. -1: there is none."""


def split_of(sha256: str) -> str:
    """Return the split of a content. It depends on the digest only."""
    return NAMES[int(_numbers(np.frombuffer(bytes.fromhex(sha256), "S32"))[0])]


def deal(digests_N: NDArray[np.bytes_], labels_N: NDArray[np.int64]) -> Dealt:
    """Deal the rows. Equal contents count once; equal contents of two classes are left out.

    Args:
        digests_N: SHA-256 of the contents as 32 bytes (`S32`), in the order of the source.
        labels_N: numbers of the classes, or -1 without labels.
    """
    _, firsts, inverse_N = np.unique(digests_N, return_index=True, return_inverse=True)
    least, most = labels_N[firsts].copy(), labels_N[firsts].copy()
    np.minimum.at(least, inverse_N, labels_N)
    np.maximum.at(most, inverse_N, labels_N)
    others = np.where(least == most, -1, np.where(most == labels_N[firsts], least, most))
    firsts_N, others_N = firsts[inverse_N], others[inverse_N]
    kept_N = (firsts_N == np.arange(len(digests_N))) & (others_N < 0)
    return Dealt(np.where(kept_N, _numbers(digests_N), -1).astype(np.int8), firsts_N, others_N)


def expect_enough(dealt: Dealt, labels_N: NDArray[np.int64], labels: Sequence[str], noun: str) -> None:
    """Check that no split is empty and that every class is in each split that needs it.

    Args:
        dealt: the dealt rows.
        labels_N: numbers of the classes.
        labels: names of the classes; empty without labels.
        noun: what the rows are, in the plural.

    Raises:
        DataError: there are too few rows in all, or of a class.
    """
    for number, name in enumerate(labels):
        own = dealt.splits_N[labels_N == number]
        if lacking := [split for split in EACH_LABEL if NAMES.index(split) not in own]:
            msg = (
                f"the class {name} has {int((own >= 0).sum())} different {noun} and none of them falls into "
                f"{lacking[0]}; give about {ENOUGH} of each class"
            )
            raise DataError(msg)
    if lacking := [split for split in NAMES if NAMES.index(split) not in dealt.splits_N]:
        msg = (
            f"none of the {int((dealt.splits_N >= 0).sum()):,} different {noun} falls into {lacking[0]}; "
            f"give at least {ENOUGH_IN_ALL}"
        )
        raise DataError(msg)


def _numbers(digests_N: NDArray[np.bytes_]) -> NDArray[Any]:
    """Return the number of each digest's split in `NAMES`."""
    beginnings_N4 = np.ascontiguousarray(digests_N).view(np.uint8).reshape(-1, 32)[:, :4]
    places_N = np.ascontiguousarray(beginnings_N4).view(">u4").ravel() / 2**32
    return np.searchsorted(ENDS, places_N, side="right")
