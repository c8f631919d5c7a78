"""Read pictures of lines of text from a folder, and choose how wide the lines of a dataset are."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from stillhouse.models.data.picture_files import open_picture
from stillhouse.models.data.written.lines import width_at
from stillhouse.tasks.data.importing.contents import read_file
from stillhouse.tasks.data.importing.sources.class_folders import TEXT
from stillhouse.tasks.data.importing.sources.source import File, Row, Source, safe_id
from stillhouse.tasks.errors import DataError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Endings of pictures."""
LONGEST_TEXT = 16_384
"""Maximum bytes of the text file of a line."""
LOOKED_AT = 1_000
"""Pictures whose sizes are read at most, evenly spread over the source."""
SHARE = 95
"""Percentile of the widths that the lines have."""
STEP, WIDEST = 32, 2048
"""The width is rounded up to a multiple of the first, and is at most the second."""


def open_line_folder(root: Path) -> Source:
    """Take each picture of a folder as a line, whose text is in the `.txt` file of its name.

    Raises:
        DataError: the folder has no pictures.
    """
    pictures = sorted(path for path in root.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    if not pictures:
        msg = f"{root} has no pictures; name a folder of pictures with a text file beside each, or a table"
        raise DataError(msg)
    read_as = f"pictures of lines, a text file beside each: {len(pictures):,} files"
    rows = partial(_rows, pictures)
    return Source(safe_id(root.resolve().name), "image", read_as, rows, labelled=True, total=len(pictures))


def _rows(pictures: list[Path]) -> Iterator[Row]:
    for picture in pictures:
        own, beside = safe_id(picture.name), picture.with_suffix(TEXT)
        try:
            text = _read(beside)
        except (OSError, UnicodeError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "is not there" if missing else "cannot be read as UTF-8"
            yield Row(own, None, "", f"its text file {safe_id(beside.name)} {reason}; give it one")
        else:
            yield Row(own, File(str(picture)), text)


def _read(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(LONGEST_TEXT).decode("utf-8-sig")


def choose_width(source: Source, height: int) -> int:
    """Return the width in pixels of the lines of a dataset: 19 of 20 lines are no wider at this height."""
    total = source.total if source.total is not None else sum(1 for _ in source.rows())
    widths = [*_widths(islice(source.rows(), 0, None, max(1, total // LOOKED_AT)), height)]
    widest = float(np.percentile(widths, SHARE)) if widths else STEP
    return min(WIDEST, int(-(-widest // STEP)) * STEP)


def say_width(source: Source, height: int, width: int) -> Source:
    """Return the source with a sentence on the size of its lines. Their texts are no labels."""
    said = f"each is scaled to {height} pixels of height and filled to {width} of width; a wider one is made narrower"
    return replace(source, read_as=f"{source.read_as}; {said}", labelled=False)


def _widths(rows: Iterator[Row], height: int) -> Iterator[int]:
    """Yield the width of each picture that can be read."""
    for row in rows:
        try:
            if isinstance(row.content, bytes | File):
                yield width_at(open_picture(read_file(row.content, "picture")).size, height)
        except Exception:  # noqa: BLE001, S112 - a malicious file can raise any error; the import lists it
            continue
