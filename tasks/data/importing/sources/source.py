"""What every kind of source gives: rows, and a sentence that says how they are read."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from stillhouse.tasks.errors import DataError

Kind = Literal["image", "text", "audio"]
NOUNS = {"image": "pictures", "text": "texts", "audio": "recordings"}
"""Kind -> its rows, for messages."""
ONE = {"image": "picture", "text": "text", "audio": "recording"}
"""Kind -> one of its rows."""


PIECE = 64 * 1024
"""Bytes of a file that are read at once. Most files have fewer."""


class File(NamedTuple):
    """A picture, recording or text as a file. Its path is a string: 100,000 `Path` objects take seconds."""

    path: str

    def status(self) -> os.stat_result:
        """Return what the file system knows of it.

        Raises:
            OSError: the file cannot be read.
        """
        return os.stat(self.path)  # noqa: PTH116 - a path of `pathlib` is made in ten times the time

    def read(self, most: int) -> bytes:
        """Return its bytes; of a larger file, its first `most` bytes and one more.

        Raises:
            OSError: the file cannot be read.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)  # `open` takes twice as many system calls
        try:
            content = os.read(descriptor, PIECE)
            if len(content) == PIECE:
                with open(descriptor, "rb", closefd=False) as rest:
                    content += rest.read(most + 1 - PIECE)
        finally:
            os.close(descriptor)
        return content


class Row(NamedTuple):
    """One picture, recording or text, before it is read."""

    id: str
    """Unique in the source: the path of its file, or the file of a table and the number of the line or row."""
    content: bytes | str | File | None
    """A picture, recording or text, or its file. None: there is none, and `reason` says why."""
    label: str = ""
    """Name of the class, or the text of a line."""
    reason: str = ""
    """Why the row cannot be used. Empty: it can."""


class Form(NamedTuple):
    """What every content of a dataset is."""

    kind: Kind
    shape: tuple[int, ...] = ()
    """Channels, height and width of a picture, or samples of a recording. Empty for texts."""
    letters: str | None = None
    """Characters that the text of a line may have. Empty: any. None: the pictures are no lines."""


@dataclass(frozen=True)
class Source:
    """Rows of one kind."""

    name: str
    """For dataset.json."""
    kind: Kind
    read_as: str
    """How the rows are read, in a line."""
    rows: Callable[[], Iterator[Row]]
    """Reads the rows, always in the same order and never all at once."""
    labelled: bool
    labels: tuple[str, ...] = ()
    """Names of the classes in the source's order. Empty: the rows have them."""
    total: int | None = None
    """Number of rows, if it is known before they are read."""


def safe_id(name: str) -> str:
    """Write a name with bytes that are not UTF-8 so that it can be stored."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a half of a character, which JSON can have
        return name.encode("utf-8", "backslashreplace").decode()


def resolve_inside(root: Path, name: str, noun: str) -> File:
    """Find a file that a manifest names, relative to the manifest's folder.

    Args:
        root: the manifest's folder, resolved.
        name: as the manifest has it.
        noun: what the file holds.

    Raises:
        DataError: the file is missing or outside of the folder. The message is a reason for rejected.csv.
    """
    try:
        path = (root / name).resolve()
        known = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a name that is too long, a loop of links, a NUL
        msg = f"it names no file ({name[:40]!r}); give the path of a {noun}"
        raise DataError(msg) from error
    if not path.is_relative_to(root):
        msg = f"it names {safe_id(name)}, which is outside of {root}; move the {noun} into the folder"
        raise DataError(msg)
    if not known:
        msg = f"it names {safe_id(name)}, and {root} has no such file; mend the path or add the {noun}"
        raise DataError(msg)
    return File(str(path))
