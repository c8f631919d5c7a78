"""Plain PNG files: read by the short way, with the pixels of the usual way, and left to it when anything is unusual."""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stillhouse.models.data import picture_files
from stillhouse.models.data.picture_files import LONGEST
from stillhouse.models.data.pictures import pixels_of
from stillhouse.models.data.plain_png import read_plain_png
from stillhouse.models.errors import ModelError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of broken notes


def saved(mode: str = "RGB", size: tuple[int, int] = (33, 21), **options: object) -> bytes:
    """A PNG file of smooth noise."""
    noise = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(stream, "PNG", **options)
    return stream.getvalue()


def noted(*chunks: tuple[bytes, bytes]) -> PngInfo:
    """Chunks that stand before the pixels."""
    info = PngInfo()
    for kind, content in chunks:
        info.add(kind, content)
    return info


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def written(raw: bytes, *, kind: bytes = b"\x08\x02\x00\x00\x00", parts: int = 1) -> bytes:
    """A PNG file of 20 x 20 pixels from rows with their filters."""
    packed = zlib.compress(raw)
    ends = [len(packed) * number // parts for number in range(parts + 1)]
    pixels = [chunk(b"IDAT", packed[start:end]) for start, end in pairwise(ends)]
    header = chunk(b"IHDR", struct.pack(">II", 20, 20) + kind)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(pixels) + chunk(b"IEND", b"")


def rows(filtering: int, count: int = 20) -> bytes:
    return b"".join(bytes([filtering]) + np.random.default_rng(row).bytes(60) for row in range(count))


EXIF = Image.Exif()
EXIF[0x0112] = 6
PLAIN = {
    "RGB": saved(),
    "grey": saved("L"),
    "one pixel": saved(size=(1, 1)),
    "stored": saved(compress_level=0),
    "the longest side": saved(size=(LONGEST, 2)),
    "gamma and colours": saved(
        pnginfo=noted((b"gAMA", bytes(4)), (b"sRGB", b"\0"), (b"cHRM", bytes(32))), dpi=(72, 72)
    ),
    "garbage behind it": saved() + b"garbage",
    **{f"filter {number}": written(rows(number)) for number in range(5)},
    "pixels in parts": written(rows(4), parts=7),
    "too few rows": written(rows(1, 10)),
    "too many rows": written(rows(1, 30)),
}
UNUSUAL = {
    **{mode: saved(mode) for mode in ("1", "LA", "P", "RGBA")},
    "16 bits": written(rows(0), kind=b"\x10\x00\x00\x00\x00"),
    "interlaced": written(rows(0), kind=b"\x08\x02\x00\x00\x01"),
    "unknown filter of a row": written(rows(9)),
    "unknown method": written(rows(0), kind=b"\x08\x02\x00\x01\x00"),
    "transparent colour": saved(transparency=(1, 2, 3)),
    "orientation": saved(exif=EXIF),
    "profile": saved(icc_profile=b"x" * 99),
    "text": saved(pnginfo=noted((b"tEXt", b"a\0b"))),
    "unknown chunk": saved(pnginfo=noted((b"zzZz", b"abc"))),
    "short gamma": saved(pnginfo=noted((b"gAMA", b"a"))),
    "a side too long": saved(size=(LONGEST + 1, 2)),
    "cut": saved()[:-40],
    "wrong checksum": saved()[:29] + b"abcd" + saved()[33:],
    "JPEG": b"\xff\xd8\xff\xe0" + bytes(40),
    "nothing": b"",
}


def outcome(content: bytes) -> bytes | str:
    """The pixels, or the reason why there are none."""
    try:
        return pixels_of(content, (3, 16, 16)).tobytes()
    except ModelError as error:
        return str(error)


def expect_the_usual_outcome(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(content)
    with monkeypatch.context() as patch:
        patch.setattr(picture_files, "read_plain_png", lambda *_: None)
        assert found == outcome(content)


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_file_has_the_pixels_of_the_usual_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way reads a plain file, and no pixel differs."""
    assert read_plain_png(PLAIN[case], LONGEST) is not None
    expect_the_usual_outcome(PLAIN[case], monkeypatch)


@pytest.mark.parametrize("case", UNUSUAL)
def test_an_unusual_file_is_left_to_the_usual_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way does not touch it, so that its pixels and the reasons of a refusal are as before."""
    assert read_plain_png(UNUSUAL[case], LONGEST) is None
    expect_the_usual_outcome(UNUSUAL[case], monkeypatch)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_has_the_usual_outcome(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever byte of a plain file is wrong, the short way gives the same pixels or leaves it."""
    chance = np.random.default_rng(seed)
    for content in PLAIN.values():
        if len(content) < 10_000:
            damaged = bytearray(content)
            damaged[chance.integers(len(damaged))] = chance.integers(256)
            expect_the_usual_outcome(bytes(damaged), monkeypatch)
