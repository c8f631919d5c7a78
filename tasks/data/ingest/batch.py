"""Check a batch from the inbox: batch.json is valid, the files are complete, and the pictures can be decoded.

`tasks.data.ingest.ingest_batch` checks whether the pictures are new and the labels plausible. If one file is at fault,
the whole batch is refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt, StrictStr, ValidationError

from stillhouse.models.errors import ModelError
from stillhouse.tasks.artifacts.artifact import file_digest, json_digest
from stillhouse.tasks.data.format.dataset import Example
from stillhouse.tasks.data.ingest.inbox import CONTENTS
from stillhouse.tasks.errors import BatchError
from stillhouse.tasks.recipe.section import AsList, Section

MODES = {1: "L", 3: "RGB"}
"""Channels of a dataset's images -> the only Pillow mode that its pictures may have."""
MOST_BYTES = 64 * 1024 * 1024
"""Maximum bytes of a picture file."""
SHOWN = 3
"""Maximum number of faults that a refusal names."""


class Picture(Section):
    """One picture of a batch."""

    name: Annotated[str, Field(pattern=r"^\w[\w .()+@=,-]{0,99}$")]
    """A plain file name, without a folder and not hidden."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the file."""
    label: StrictStr | StrictInt
    """A label of the dataset, or its index."""


class Contents(Section):
    """The content of batch.json."""

    files: Annotated[tuple[Picture, ...], AsList, Field(min_length=1)]

    @property
    def digest(self) -> str:
        """Digest of the batch. Its name and the order of its files do not change it."""
        return json_digest(sorted([each.name, each.sha256, str(each.label)] for each in self.files))


def read_contents(path: Path) -> Contents:
    """Read batch.json.

    Raises:
        BatchError: batch.json is not JSON, does not fit the schema, or lists a file twice.
    """
    try:
        contents = Contents.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'all of it'}: {each['msg']}" for each in error.errors()]
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        msg = f"{CONTENTS} does not fit ({'; '.join(faults[:SHOWN])}{more}); write it as docs/data.md says"
        raise BatchError(msg) from error
    twice = [name for name, count in Counter(each.name for each in contents.files).items() if count > 1]
    if twice or any(each.name == CONTENTS for each in contents.files):
        msg = f"{CONTENTS} lists {(twice or [CONTENTS])[0]} more than once or itself; list each picture once"
        raise BatchError(msg)
    return contents


def check_files(folder: Path, names: Sequence[str], contents: Contents) -> None:
    """Compare the files of the batch with the list in batch.json.

    Args:
        folder: folder of the files on this host.
        names: names of all files in the inbox, including batch.json.
        contents: the content of batch.json.

    Raises:
        BatchError: a file is missing, is not listed, or has the wrong bytes.
    """
    listed = {each.name for each in contents.files}
    if missing := sorted(listed - set(names)):
        msg = f"{missing[0]} is listed and did not land; send the whole batch again"
        raise BatchError(msg)
    if extra := sorted(set(names) - listed - {CONTENTS}):
        msg = f"{extra[0]} landed and is not listed in {CONTENTS}; list it or leave it out"
        raise BatchError(msg)
    for each in contents.files:
        if file_digest(folder / each.name) != each.sha256:
            msg = f"{each.name} is half-uploaded or altered: its SHA-256 is not the one listed; send the batch again"
            raise BatchError(msg)


def examples_of(folder: Path, contents: Contents, described: Mapping[str, Any], prefix: str) -> list[Example]:
    """Decode every picture of a batch.

    Raises:
        BatchError: a label is unknown, or the dataset does not take a picture.
    """
    return [
        Example(f"{prefix}/{each.name}", _pixels(folder / each.name, described).tobytes(), _label(each, described))
        for each in contents.files
    ]


def _label(picture: Picture, described: Mapping[str, Any]) -> int:
    labels: list[str] = described["labels"]
    if isinstance(picture.label, int) and 0 <= picture.label < len(labels):
        return picture.label
    if picture.label in labels:
        return labels.index(str(picture.label))
    msg = f"{picture.name} has the label {picture.label!r}, which {described['name']} does not have; mend the label"
    raise BatchError(msg)


def _pixels(path: Path, described: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Decode one picture as pixels_CHW, without resizing or conversion."""
    channels, height, width = described["image_shape"]
    pixels = _decode(path, (width, height), MODES[channels])
    low, high = described["value_range"]
    if pixels.min() < low or pixels.max() > high:
        msg = f"{path.name} has values from {pixels.min()} to {pixels.max()} where {low} to {high} are allowed; mend it"
        raise BatchError(msg)
    if pixels.min() == pixels.max():
        msg = f"{path.name} shows nothing: all of it is {pixels.min()}; leave it out"
        raise BatchError(msg)
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def _decode(path: Path, size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    """Decode a picture that must have this size and mode; its EXIF orientation is applied."""
    from stillhouse.models.data.picture_files import open_picture, upright

    if path.stat().st_size > MOST_BYTES:
        msg = f"{path.name} has more than {MOST_BYTES:,} bytes; send a smaller picture"
        raise BatchError(msg)
    with _decoding(path.name):
        opened = open_picture(path.read_bytes(), ("PNG", "JPEG"))
    if opened.mode != mode or opened.size not in {size, size[::-1]}:  # before a pixel is decoded
        raise BatchError(_misfit(path.name, (opened.size, opened.mode), (size, mode)))
    if opened.has_transparency_data:
        msg = f"{path.name} has transparent pixels, which show no value; save it without transparency"
        raise BatchError(msg)
    with _decoding(path.name):
        turned = upright(opened)
    if turned.size != size:
        raise BatchError(_misfit(path.name, (turned.size, mode), (size, mode)))
    return np.asarray(turned.convert(mode))


def _misfit(name: str, found: tuple[tuple[int, int], str], taken: tuple[tuple[int, int], str]) -> str:
    return f"{name} is {_spell(*found)} where {_spell(*taken)} is taken; mend it at its source"


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn every error of a damaged or hostile file into one sentence, so that other batches go on."""
    try:
        yield
    except ModelError as error:
        msg = f"{name} cannot be decoded: {error}"
        raise BatchError(msg) from error
    except Exception as error:
        msg = f"{name} cannot be decoded ({' '.join(str(error).split())}); send a whole PNG or JPEG file"
        raise BatchError(msg) from error


def _spell(size: tuple[int, int], mode: str) -> str:
    return f"{size[0]} x {size[1]} pixels in mode {mode}"
