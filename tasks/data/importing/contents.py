"""Turn a row of a source into the content of a dataset: raw pixels of one shape, or a normalised text."""

import hashlib
from pathlib import Path
from typing import Any

from stillhouse.models.data.pictures import pixels_of
from stillhouse.models.data.texts import CONTROL, normalise
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.importing.sources.source import Row
from stillhouse.tasks.data.importing.wanted import Shape
from stillhouse.tasks.errors import DataError

LARGEST = 64 * 1024 * 1024
"""Maximum bytes of a picture file."""
LONGEST = 20_000
"""Maximum characters of a text."""
LARGEST_TEXT = 4 * 1024 * 1024
"""Maximum bytes of a text file. Most of them may be whitespace."""


def read_content(row: Row, shape: Shape | None) -> dict[str, Any]:
    """Return path, label and either the content with its digest, or the reason why there is none.

    Args:
        row: a row of a source.
        shape: channels, height and width of a picture. None: the content is a text.
    """
    known = {"path": row.id, "label": row.label}
    try:
        if row.reason or row.content is None:
            return known | {"reason": row.reason}
        if shape is None:
            text = _text(row.content)
            return known | {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        pixels = _pixels(row.content, shape)
        return known | {"image": pixels, "sha256": hashlib.sha256(pixels).hexdigest()}
    except (DataError, ModelError) as error:
        return known | {"reason": str(error)}
    except OSError as error:
        return known | {"reason": f"the file cannot be read ({error.strerror})"}


def _pixels(content: bytes | str | Path, shape: Shape) -> bytes:
    if isinstance(content, str):
        msg = "it is a text; give a picture"
        raise DataError(msg)
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size > LARGEST:
        msg = f"the file has {size:,} bytes; give a picture of at most {LARGEST:,}"
        raise DataError(msg)
    encoded = content if isinstance(content, bytes) else content.read_bytes()
    pixels = pixels_of(encoded, shape).tobytes()
    if pixels.count(pixels[:1]) == len(pixels):
        msg = "the picture shows nothing, as all of its pixels have one value; leave it out"
        raise DataError(msg)
    return pixels


def _text(content: bytes | str | Path) -> str:
    try:
        read = _decode(content)
        read.encode()
    except UnicodeError as error:
        msg = "the text is not valid UTF-8; save it as UTF-8"
        raise DataError(msg) from error
    text = normalise(read)
    if not text:
        msg = "the text is empty; give at least one character"
        raise DataError(msg)
    if len(text) > LONGEST:
        msg = f"the text has {len(text):,} characters; give one of at most {LONGEST:,}"
        raise DataError(msg)
    if control := CONTROL.search(text):
        msg = f"the text has the control character U+{ord(control.group()):04X}; remove it"
        raise DataError(msg)
    return text


def _decode(content: bytes | str | Path) -> str:
    if isinstance(content, Path):
        if (size := content.stat().st_size) > LARGEST_TEXT:
            msg = f"the file has {size:,} bytes; give a text of at most {LONGEST:,} characters"
            raise DataError(msg)
        return content.read_bytes().decode("utf-8-sig")  # a mark at its beginning is no character of the text
    return content.decode() if isinstance(content, bytes) else content
