"""Deal pictures to the splits by the digest of their pixels: a picture keeps its split in every later version."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from stillhouse.tasks.errors import DataError

SHARES = {"test": 0.15, "gate": 0.15, "validation": 0.08, "calibration": 0.04}
"""Split -> its share. The rest is for training."""
EACH_LABEL = ("train", "gate", "test")
"""Splits in which every class must have a picture."""
ENOUGH = 50
"""A class of so many pictures lacks one of these splits in about one of a thousand cases."""


@dataclass
class Dealt:
    """Which picture goes where."""

    split_of: dict[str, str] = field(default_factory=dict)
    """Path -> split. A path that is not here is left out."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Path -> why it is left out."""


def split_of(sha256: str) -> str:
    """Return the split of a picture. It depends on the digest only."""
    place, end = int(sha256[:8], 16) / 2**32, 0.0
    for split, share in SHARES.items():
        end += share
        if place < end:
            return split
    return "train"


def deal(rows: Iterable[tuple[str, int, str]], labels: tuple[str, ...]) -> Dealt:
    """Deal the pictures. Equal pictures count once; equal pictures of two classes are left out.

    Args:
        rows: path, number of the class and digest of the pixels, in the order of the listing.
        labels: names of the classes.

    Raises:
        DataError: a class has no picture in a split that needs one.
    """
    dealt, first, several = Dealt(), dict[str, tuple[str, int]](), dict[str, int]()
    for path, label, digest in rows:
        known = first.setdefault(digest, (path, label))
        if known[1] != label:
            several[digest] = label
        if known[0] != path:
            dealt.rejected[path] = f"its pixels are those of {known[0]}"
    for digest, (path, _) in first.items():
        if digest in several:
            other = labels[several[digest]]
            dealt.rejected[path] = f"its pixels are in the class {other} too; keep the picture in one class"
        else:
            dealt.split_of[path] = split_of(digest)
    _expect_each_label(dealt, dict(first.values()), labels)
    return dealt


def _expect_each_label(dealt: Dealt, label_of: dict[str, int], labels: tuple[str, ...]) -> None:
    found = {(label_of[path], split) for path, split in dealt.split_of.items()}
    for number, name in enumerate(labels):
        if lacking := [split for split in EACH_LABEL if (number, split) not in found]:
            count = sum(label_of[path] == number for path in dealt.split_of)
            msg = (
                f"the class {name} has {count} different pictures and none of them falls into {lacking[0]}; give about "
                f"{ENOUGH} of each class"
            )
            raise DataError(msg)
