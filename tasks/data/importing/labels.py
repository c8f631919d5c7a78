"""Put the labels of a source in order, and refuse those that cannot be classes."""

import re
from collections.abc import Collection
from pathlib import Path

from stillhouse.tasks.errors import DataError

LEAST_CLASSES, MOST_CLASSES = 2, 10_000
LONGEST_NAME = 100
"""Characters of the name of a class."""


def order_labels(found: Collection[str], given: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the names of the classes: as the source gives them, or sorted; whole numbers are sorted by value.

    Raises:
        DataError: there are too few classes or too many, a class cannot have its name, or two have nearly the same.
    """
    whole = all(re.fullmatch(r"-?\d{1,18}", name) for name in found)
    labels = given or tuple(sorted(found, key=(lambda name: (int(name), name)) if whole else None))
    if not LEAST_CLASSES <= len(labels) <= MOST_CLASSES:
        count = "1 class" if len(labels) == 1 else f"{len(labels):,} classes"
        msg = f"{source} has {count}, and a classifier needs {LEAST_CLASSES} to {MOST_CLASSES:,}; {_remedy(labels)}"
        raise DataError(msg)
    for name in labels:
        _check_name(name, source)
    _check_difference(labels, source)
    return labels


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of a model's classes, one a line, in the order of its outputs.

    Raises:
        DataError: there is no such file of text, or it has no line.
    """
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as UTF-8 text; give a file with the name of one class a line"
        raise DataError(msg) from error
    if not names:
        msg = f"{path} names no classes; write one name a line, in the order of the model's outputs"
        raise DataError(msg)
    return names


def expect_classes(found: Collection[str], given: Collection[str], source: str) -> None:
    """Refuse data with a class that the given names lack.

    Raises:
        DataError: there is one.
    """
    if unknown := sorted({*found} - {*given}):
        msg = f"{source} has the class {unknown[0]!r}, which the file of classes lacks; add it, or leave its rows out"
        raise DataError(msg)


def _remedy(labels: tuple[str, ...]) -> str:
    if len(labels) < LEAST_CLASSES:
        return "give a folder for each class, or a column of labels"
    return "name another column of labels, or join the rare classes"


def _check_name(name: str, source: str) -> None:
    if not name.isprintable() or name != name.strip() or not name or len(name) > LONGEST_NAME:
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
        msg = (
            f"the class {shown!r} of {source} cannot have this name; rename it to 1 to {LONGEST_NAME} printable "
            "characters without spaces at its ends"
        )
        raise DataError(msg)


def _check_difference(labels: tuple[str, ...], source: str) -> None:
    known: dict[str, str] = {}
    for name in labels:
        other = known.setdefault("".join(name.casefold().split()), name)
        if other != name:
            msg = f"the classes {other!r} and {name!r} of {source} differ by case or spaces only; give them one name"
            raise DataError(msg)
    if len(set(labels)) < len(labels):
        msg = f"{source} has one class twice; give every class a name of its own"
        raise DataError(msg)
