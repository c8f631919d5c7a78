"""One reader of pictures: formats, modes and orientations, what transparency shows, and what a file may cost."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from stillhouse.models.data.picture_files import LONGEST, read_picture
from stillhouse.models.data.pictures import OPAQUE, SIDE, picture_of, pixels_of
from stillhouse.models.data.sound.audio import waveform_of
from stillhouse.models.errors import ModelError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of broken notes
ROOT = Path(__file__).resolve().parent.parent
SHAPE = (3, 8, 8)
ALL = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
KEPT = {
    "1": ALL,
    "L": ALL,
    "LA": ("PNG", "GIF", "WEBP", "TIFF"),
    "P": ("PNG", "GIF", "BMP", "WEBP", "TIFF"),
    "P+": ("PNG", "GIF", "WEBP"),
    "RGB": ALL,
    "RGBA": ("PNG", "GIF", "WEBP", "TIFF"),
    "CMYK": ("JPEG", "TIFF"),
    "I;16": ("PNG", "TIFF"),
    "YCbCr": ("JPEG", "TIFF"),
    "LAB": ("TIFF",),
}
"""Mode, `P+` being P with a transparent colour -> formats in which Pillow writes it without losing its transparency."""
LOSSY = {"JPEG": 40, "WEBP": 3}
"""Levels by which a decoded pixel may differ; 1 elsewhere."""
TO_LAB = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
ORIENTATION = 0x0112
TURNS = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""Orientation -> what a camera stores of an upright picture (H, W, C)."""


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **({"lossless": True} if kind == "WEBP" else {}) | options)
    return stream.getvalue()


def corner(height: int = 16, width: int = 24) -> NDArray[np.uint8]:
    """A white picture with a black upper left quarter, unlike itself however it is turned."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[: height // 2, : width // 2] = 0
    return pixels


def in_mode(mode: str) -> Image.Image:
    """The corner in a mode; where there is transparency, what is white is transparent."""
    image = Image.fromarray(corner())
    black = image.convert("L").point(lambda value: 255 - value)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "P+":
        indexed = Image.fromarray((np.asarray(black) // 255).astype(np.uint8), "L").convert("P")
        indexed.putpalette([9, 9, 9, 0, 0, 0])
        indexed.info["transparency"] = 0
        return indexed
    if mode == "LAB":
        return ImageCms.applyTransform(image, TO_LAB)
    changed = image.convert("RGB" if mode == "RGBA" else "L" if mode in {"LA", "I", "F"} else mode).convert(mode)
    if mode in {"LA", "RGBA"}:
        changed.putalpha(black)
    return changed


@pytest.mark.parametrize(("mode", "kind"), [(mode, kind) for mode in KEPT for kind in KEPT[mode]])
def test_every_kind_of_file_shows_the_same_picture(mode: str, kind: str) -> None:
    """Whatever the format and the mode, black on white or on nothing becomes black on white."""
    content = saved(in_mode(mode), kind)
    for channels in (1, 3):
        found = pixels_of(content, (channels, 16, 24)).transpose(1, 2, 0)
        middle = found[[3, 3, 12, 12], [5, 18, 5, 18]].astype(int)  # of the four quarters
        assert np.abs(middle - np.array([[0], [255], [255], [255]])).max() <= LOSSY.get(kind, 1)
    assert picture_of(content)[:, 20, 16].max() <= LOSSY.get(kind, 1) + 12  # resizing rings


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_no_known_range_are_refused(mode: str) -> None:
    """A picture of whole numbers or floats of 32 bits is refused with the remedy."""
    with pytest.raises(ModelError, match=rf"has pixels of 32 bits \({mode}\).*; save it with 8 or 16 bits$"):
        read_picture(saved(in_mode(mode), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_phone_held_sideways_shows_the_picture_upright(kind: str, orientation: int) -> None:
    """Each of the eight orientations of EXIF is turned upright, in every format that has EXIF."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(TURNS[orientation](corner(64, 96)))
    content = saved(Image.fromarray(stored), kind, exif=exif)
    assert read_picture(content).size == (96, 64)
    found = pixels_of(content, (3, 64, 96)).transpose(1, 2, 0)
    assert np.abs(found.astype(int) - corner(64, 96)).mean() < 3


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"nonsense", b"Exif\0\0", bytes(2000)])
def test_notes_that_cannot_be_read_turn_nothing(exif: bytes) -> None:
    """A picture with broken EXIF is read as it is stored."""
    found = pixels_of(saved(Image.fromarray(corner()), "JPEG", exif=exif), (3, 16, 24))
    assert found[0, 3, 3] < 60
    assert found[0, 12, 20] > 200


@pytest.mark.parametrize(("ink", "expected"), [(0, (0, 255)), (255, (255, 0)), (128, (128, 255)), (250, (250, 0))])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_ink_on_nothing_can_be_seen(mode: str, ink: int, expected: tuple[int, int]) -> None:
    """Transparent pixels are white paper; if the ink is white, too, they are black paper."""
    drawn = Image.new("RGBA", (8, 8), (ink, ink, ink, 0))
    drawn.paste((ink, ink, ink, 255), (0, 0, 4, 8))
    content = saved(drawn.convert(mode), "PNG")
    assert tuple(pixels_of(content, (1, 8, 8))[0, 4, [0, 7]]) == expected
    assert tuple(picture_of(content)[0, 32, [0, 63]]) == expected


def test_nothing_on_nothing_is_white_paper() -> None:
    """A picture without any ink is white."""
    assert (pixels_of(saved(Image.new("RGBA", (8, 8)), "PNG"), SHAPE) == 255).all()


def test_a_colour_that_stands_for_transparent_is_paper() -> None:
    """Grey, colour and 16-bit PNG files may name one value as transparent."""
    for image, value in (
        (Image.fromarray(np.repeat([[7, 0]], 4, axis=1).repeat(8, axis=0).astype(np.uint8)), 7),
        (Image.fromarray(np.tile(np.repeat([7, 0], 4)[None, :, None], (8, 1, 3)).astype(np.uint8)), (7, 7, 7)),
        (Image.fromarray(np.repeat([[1799, 0]], 4, axis=1).repeat(8, axis=0).astype(np.uint16)), 1799),
    ):
        assert pixels_of(saved(image, "PNG", transparency=value), SHAPE)[0, 4, [0, 7]].tolist() == [255, 0]


def test_sixteen_bits_keep_their_upper_eight() -> None:
    """A grey of 16 bits is scaled, not clipped."""
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    found = pixels_of(saved(Image.fromarray(values), "PNG"), (1, 8, 8))
    assert (found[0] == values >> 8).all()


def test_the_first_frame_counts() -> None:
    """An animated GIF, WebP or PNG is its first frame."""
    frames = [Image.fromarray(corner()), Image.new("RGB", (24, 16))]
    for kind in ("GIF", "WEBP", "PNG"):
        content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert pixels_of(content, (3, 16, 24))[0, 12, 20] == 255, kind


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, rows: bytes, *extra: bytes, header: bytes | None = None) -> bytes:
    """A PNG file by hand."""
    about = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0) if header is None else header
    body = [chunk(b"IHDR", about), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


DOT = b"\0\x80"


@pytest.mark.parametrize(
    "note",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20))),
        chunk(b"tEXt", b"a\0" + b"x" * (2 << 20)),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(64 << 20))),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2 << 20))),
        chunk(b"iCCP", b"a\0\0no zlib"),
    ],
)
def test_large_notes_are_not_unpacked(note: bytes) -> None:
    """A PNG file with megabytes of text or of a colour profile is read for its pixels."""
    assert (pixels_of(png_of(1, 1, DOT, note), SHAPE) == 128).all()


def test_an_orientation_in_a_text_chunk_is_still_read() -> None:
    """XMP in a PNG file turns it."""
    notes = PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert read_picture(saved(Image.new("L", (4, 2)), "PNG", pnginfo=notes)).size == (2, 4)


def gif_of_nothing() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b","


def tiff_with_large_tiles() -> bytes:
    tags = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg_of_many_scans() -> bytes:
    content = saved(Image.new("L", (6000, 6000)), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:-2] + content[start:-2] * 500 + content[-2:]


WHOLE = "; give a whole PNG, JPEG, WebP, GIF, BMP or TIFF file$"
REFUSED = {
    "nothing": (b"", rf"cannot be read \(it is of no known kind\){WHOLE}"),
    "text": (b"no picture", rf"cannot be read \(it is of no known kind\){WHOLE}"),
    "another kind": (saved(Image.new("L", (4, 4)), "PPM"), rf"of no known kind\){WHOLE}"),
    "a script": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", rf"of no known kind\){WHOLE}"),
    "half a PNG": (saved(Image.effect_noise((64, 64), 99), "PNG")[:900], f"cannot be read .*{WHOLE}"),
    "half a JPEG": (saved(Image.effect_noise((64, 64), 99), "JPEG")[:900], f"cannot be read .*{WHOLE}"),
    "half a WebP": (saved(Image.effect_noise((64, 64), 99), "WEBP")[:900], f"cannot be read .*{WHOLE}"),
    "half a TIFF": (saved(Image.effect_noise((64, 64), 99), "TIFF")[:900], f"cannot be read .*{WHOLE}"),
    "a short header": (png_of(1, 1, DOT, header=b"\0\0\0\1"), f"cannot be read .*{WHOLE}"),
    "no header": (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), f"cannot be read .*{WHOLE}"),
    "no pixels": (png_of(0, 0, b""), f"cannot be read .*{WHOLE}"),
    "a GIF of no size": (gif_of_nothing(), f"cannot be read .*{WHOLE}"),
    "more pixels than are read": (png_of(10_000, 5_001, DOT), "10000 x 5001 pixels; give one of at most 50,000,000$"),
    "gigapixels": (png_of(60_000, 60_000, DOT), "cannot be read .*decompression bomb"),
    "large tiles": (tiff_with_large_tiles(), "give one of at most 50,000,000$"),
    "many scans": (jpeg_of_many_scans(), "has 5[0-9]+ scans of 36,000,000 pixels; save it as an ordinary JPEG"),
    "a bomb in a text chunk": (
        png_of(1, 1, DOT, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(64 << 20)))),
        f"cannot be read .*{WHOLE}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_picture_is_refused_with_the_remedy(case: str) -> None:
    """Whatever is wrong with a file, a sentence says so."""
    content, sentence = REFUSED[case]
    with pytest.raises(ModelError, match=sentence):
        picture_of(content)


COST = """
import sys
from stillhouse.models.data.pictures import picture_of, pixels_of
content = sys.stdin.buffer.read()
picture_of(content), pixels_of(content, (3, 32, 32))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("size", [(30_000, 60), (60, 30_000), (50_000_000, 1), (1, 65_000)])
def test_a_long_strip_costs_no_gigabytes(size: tuple[int, int]) -> None:
    """A few kilobytes that claim a long strip are read in less than 400 MB, the interpreter included."""
    content = saved(Image.new("L", size), "PNG")
    done = subprocess.run([sys.executable, "-c", COST], input=content, capture_output=True, cwd=ROOT, check=True)
    assert int(done.stdout) < 400 * 1024, int(done.stdout)


def test_a_strip_is_centred_on_paper() -> None:
    """What is reduced first still stands in the middle, as wide as it was."""
    found = picture_of(saved(Image.new("L", (4 * LONGEST, LONGEST // 2)), "PNG"))
    dark = (found[0] < 128).any(1)
    assert (dark[0], dark[SIDE // 2], dark[-1]) == (False, True, False)
    assert (found[0, SIDE // 2] < 128).all()


@pytest.mark.parametrize("content", ["a path.png", None, 5, [1, 2]])
def test_what_is_no_file_at_all_is_refused(content: object) -> None:
    """A value of a table that is no bytes is refused in a sentence, as a picture and as a recording."""
    for read in (picture_of, waveform_of):
        with pytest.raises(ModelError, match=r"cannot be read .*; give a whole"):
            read(content)  # type: ignore[operator]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(8, 8), (30, 21), (LONGEST + 400, 3)])
@pytest.mark.parametrize("mode", OPAQUE)
def test_an_opaque_picture_needs_no_transparency(
    mode: str, size: tuple[int, int], orientation: int, channels: int
) -> None:
    """A picture that is not made RGBA first has the same pixels as one that is."""
    noise = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = saved(Image.fromarray(noise).convert(mode), "PNG", exif=exif)
    rgba = read_picture(content)
    assert rgba.mode == "RGBA"
    laid = rgba.convert("L" if channels == 1 else "RGB").resize((8, 8), Image.Resampling.LANCZOS)
    expected = np.asarray(laid).reshape(8, 8, channels).transpose(2, 0, 1)
    assert np.array_equal(pixels_of(content, (channels, 8, 8)), expected)
