"""Turn a row of a source into the content of a dataset: pixels of one shape, samples of one length, or a text."""

import hashlib
from collections.abc import Callable
from typing import Any

from stillhouse.models.data.pictures import pixels_of
from stillhouse.models.data.sound.clips import clip_of, seconds_of
from stillhouse.models.data.texts import CONTROL, normalise
from stillhouse.models.data.written.lines import line_of
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.importing.sources.source import File, Form, Kind, Row
from stillhouse.tasks.errors import DataError

LARGEST = 64 * 1024 * 1024
"""Maximum bytes of a file of a picture or recording."""
LONGEST = 20_000
"""Maximum characters of a text."""
LARGEST_TEXT = 4 * 1024 * 1024
"""Maximum bytes of a text file. Most of them may be whitespace."""
LONGEST_SECONDS = 600.0
"""Maximum seconds of a recording."""
Content = bytes | str | File


def read_content(row: Row, form: Form) -> dict[str, Any]:
    """Return path, label and either the content with its digest, or the reason why there is none.

    Args:
        row: a row of a source.
        form: what the content becomes.
    """
    known = {"path": row.id, "label": row.label}
    try:
        if row.reason or row.content is None:
            return known | {"reason": row.reason}
        if form.letters is not None:
            known["label"] = _text_of_line(row.label, form.letters)
        read = (READERS[form.kind] if form.letters is None else _line)(row.content, form.shape)
        stored = read.encode() if isinstance(read, str) else read
        return known | {form.kind: read, "sha256": hashlib.sha256(stored).hexdigest()}
    except (DataError, ModelError) as error:
        return known | {"reason": str(error)}
    except OSError as error:
        return known | {"reason": f"the file cannot be read ({error.strerror})"}


def read_file(content: Content, noun: str) -> bytes:
    """Return the bytes of a picture or recording.

    Raises:
        DataError: there are none, or too many.
        OSError: the file cannot be read.
    """
    if isinstance(content, str):
        msg = f"it is a text; give a {noun}"
        raise DataError(msg)
    read = content if isinstance(content, bytes) else content.read(LARGEST)
    if len(read) > LARGEST:
        msg = f"the file is too large; give a {noun} of at most {LARGEST:,} bytes"
        raise DataError(msg)
    return read


def _samples(content: Content, shape: tuple[int, ...]) -> bytes:
    encoded = read_file(content, "recording")
    if not encoded:
        msg = "the file is empty; give a recording"
        raise DataError(msg)
    if (seconds := seconds_of(encoded)) > LONGEST_SECONDS:
        msg = f"the recording lasts {seconds:,.0f} s; cut it into parts of at most {LONGEST_SECONDS:.0f} s"
        raise DataError(msg)
    return clip_of(encoded, shape[0]).astype("<i2").tobytes()


def _line(content: Content, shape: tuple[int, ...]) -> bytes:
    channels, height, width = shape
    return line_of(read_file(content, "picture"), (channels, height, width)).tobytes()


def _text_of_line(text: str, letters: str) -> str:
    """Return the text in its normal form.

    Args:
        text: as the source has it.
        letters: characters that it may have. Empty: any.

    Raises:
        DataError: it is empty, or has a character that is not among the letters.
    """
    normal = _text(text, ())
    if unknown := next((letter for letter in normal if letters and letter not in letters), ""):
        msg = f"its text has {unknown!r} (U+{ord(unknown):04X}), which the model cannot read; mend the text"
        raise DataError(msg)
    return normal


def _pixels(content: Content, shape: tuple[int, ...]) -> bytes:
    channels, height, width = shape
    pixels = pixels_of(read_file(content, "picture"), (channels, height, width)).tobytes()
    if pixels.count(pixels[:1]) == len(pixels):
        msg = "the picture shows nothing, as all of its pixels have one value; leave it out"
        raise DataError(msg)
    return pixels


def _text(content: Content, _shape: tuple[int, ...]) -> str:
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


def _decode(content: Content) -> str:
    if isinstance(content, File):
        if len(read := content.read(LARGEST_TEXT)) > LARGEST_TEXT:
            msg = f"the file is too large; give a text of at most {LONGEST:,} characters"
            raise DataError(msg)
        return read.decode("utf-8-sig")  # a mark at its beginning is no character of the text
    return content.decode() if isinstance(content, bytes) else content


READERS: dict[Kind, Callable[[Content, tuple[int, ...]], bytes | str]] = {
    "image": _pixels,
    "text": _text,
    "audio": _samples,
}
"""Kind of a row -> function that makes its content."""
