"""Decode a picture file to pixels as a viewer shows them: upright, with transparency.

All pictures are read here: in serving, in data ingest and in dataset builds. The limits are checked before the file is
decoded, so that a file of a few kilobytes cannot cost gigabytes or minutes. Colour profiles are not applied. Of several
frames, only the first is read.
"""

import io
import struct

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH

from stillhouse.models.data.plain_png import read_plain_png
from stillhouse.models.errors import ModelError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
MOST_PIXELS = 50_000_000
"""Largest number of pixels of a picture."""
MOST_SCANNED = 20 * MOST_PIXELS
"""Largest product of pixels and scans of a progressive JPEG. Each scan decodes all pixels."""
LONGEST = 3072
"""Longest side in pixels. A picture with a longer side is first reduced by an integer factor."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> operation that turns the stored pixels upright."""
PNG_START = b"\x89PNG\r\n\x1a\n"
NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""PNG chunks that may be large and do not affect the pixels, except for `ORIENTED`."""
ORIENTED = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")
SCAN = b"\xff\xda"
WITHOUT_RANGE = ("I", "F")


def read_picture(content: bytes, keep: tuple[str, ...] = ()) -> Image.Image:
    """Decode a file as RGBA, upright, and reduce it if a side is longer than `LONGEST`.

    Args:
        content: the file.
        keep: modes without transparency that are not converted to RGBA.

    Raises:
        ModelError: the file is not a readable picture of `FORMATS`, or the picture is too large.
    """
    try:
        plain = read_plain_png(content, LONGEST)
        return plain if plain and plain.mode in keep else upright(open_picture(content), keep)
    except ModelError:
        raise
    except Exception as error:  # a malicious file can raise any error
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it is of no known kind" if unknown else " ".join(str(error).split())[:200] or type(error).__name__
        msg = f"the picture cannot be read ({reason}); give a whole PNG, JPEG, WebP, GIF, BMP or TIFF file"
        raise ModelError(msg) from error


def open_picture(content: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Read the header of a file and check it against the limits. No pixels are decoded yet.

    Raises:
        ModelError: the picture is too large, or its pixels have no known range.
        Exception: Pillow cannot read the file.
    """
    opened = Image.open(io.BytesIO(_drop_notes(content)), formats=formats)
    pixels, scans = opened.width * opened.height, content.count(SCAN) if opened.format in {"JPEG", "MPO"} else 1
    if pixels > MOST_PIXELS or _tile(opened) > MOST_PIXELS:
        msg = f"the picture has {opened.width} x {opened.height} pixels; give one of at most {MOST_PIXELS:,}"
        raise ModelError(msg)
    if pixels * scans > MOST_SCANNED:
        msg = f"the picture has {scans} scans of {pixels:,} pixels; save it as an ordinary JPEG file"
        raise ModelError(msg)
    if opened.mode in WITHOUT_RANGE:
        msg = f"the picture has pixels of 32 bits ({opened.mode}), whose range is not known; save it with 8 or 16 bits"
        raise ModelError(msg)
    return opened


def upright(opened: Image.Image, keep: tuple[str, ...] = ()) -> Image.Image:
    """Decode an opened picture as RGBA and rotate it as its EXIF orientation says.

    Args:
        opened: the picture.
        keep: modes without transparency that are not converted to RGBA.

    Raises:
        Exception: Pillow cannot read the file.
    """
    factor = -(-max(opened.size) // LONGEST)
    if factor > 1 and opened.format in {"JPEG", "MPO"}:
        opened.draft(None, (LONGEST, LONGEST))
        factor = -(-max(opened.size) // LONGEST)
    opened.load()
    turn = UPRIGHT.get(orientation(opened))
    image = opened if factor == 1 or not _reducible(opened) else opened.reduce(factor)
    if image.mode not in keep or "transparency" in image.info:
        image = _as_rgba(image)
    if max(image.size) > LONGEST:
        image = image.reduce(factor)
    return image if turn is None else image.transpose(turn)


def orientation(opened: Image.Image) -> int:
    """Return the EXIF orientation of a decoded picture, or 1 if there is no readable orientation."""
    try:
        return int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - viewers show a picture whose notes are broken
        return 1


def _reducible(opened: Image.Image) -> bool:
    """Tell whether the pixels can be averaged. Palette indices and colour-keyed transparency cannot."""
    return opened.mode in {"L", "LA", "RGB", "RGBA", "CMYK"} and "transparency" not in opened.info


def _as_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_16_bits(image)
    return image if image.mode == "RGBA" else image.convert("RGBA")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Keep the upper eight bits. Pillow would clip the values."""
    values_HW = np.asarray(image)
    rgba = Image.fromarray((values_HW >> 8).astype(np.uint8)).convert("RGBA")
    if "transparency" in image.info:
        rgba.putalpha(Image.fromarray(np.where(values_HW == image.info["transparency"], 0, 255).astype(np.uint8)))
    return rgba


def _tile(opened: Image.Image) -> int:
    """Count the pixels of a tile of a TIFF file. A tile may be larger than the picture."""
    tags = getattr(opened, "tag_v2", {})
    return int(tags.get(TILEWIDTH, 0)) * int(tags.get(TILELENGTH, 0))


def _drop_notes(content: bytes) -> bytes:
    """Remove text and colour profiles from a PNG file. Pillow would unpack them, and they may be huge."""
    if not content.startswith(PNG_START) or not any(kind in content for kind in NOTES):
        return content
    kept, place = [PNG_START], len(PNG_START)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if kind not in NOTES or content.startswith(ORIENTED, place + 8):
            kept.append(content[place:end])
        place = end
    return b"".join(kept)
