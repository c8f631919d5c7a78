"""Convert a picture file of any kind to the input of an image encoder. Serving uses this module, training does not.

Transparent pixels show the background ("paper"). The background is white, as in a viewer and in the training drawings
of encoders. If nothing is visible on white, as with white ink, the background is black, as in the training digits of
white-on-black classifiers. Black ink on a transparent background becomes black on white. It is never inverted, so the
model gives the same answer as for the drawing on white paper.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillhouse.models.data.picture_files import read_picture

SIDE = 64
PAPERS = ((255, 255, 255, 255), (0, 0, 0, 255))
"""Backgrounds in order of preference. The first one on which something is visible is used."""
OPAQUE = ("L", "RGB")
"""Modes that need no background."""
FAINT = 8
"""A picture shows nothing if its lightest and darkest levels (of 255) differ by at most this number."""


def picture_of(content: bytes) -> NDArray[np.uint8]:
    """Return the raw pixels (3, SIDE, SIDE) of a picture file on a background, complete and centred.

    Raises:
        ModelError: the file is not a readable picture, or the picture is too large.
    """
    drawn = read_picture(content)
    side = max(drawn.size)
    squared = on_paper(drawn, (side, side)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(squared).transpose(2, 0, 1).copy()


def pixels_of(content: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the raw pixels (C, H, W) of a picture file on a background, grey if C is 1, resized to fit.

    Raises:
        ModelError: the file is not a readable picture, or the picture is too large.
    """
    channels, height, width = shape
    drawn = read_picture(content, OPAQUE)
    laid, mode = on_paper(drawn, drawn.size), "L" if channels == 1 else "RGB"
    laid = laid if laid.mode == mode else laid.convert(mode)
    laid = laid if laid.size == (width, height) else laid.resize((width, height), Image.Resampling.LANCZOS)
    levels_HWC = np.frombuffer(laid.tobytes(), np.uint8).reshape(height, width, channels)
    return levels_HWC.transpose(2, 0, 1).copy()


def on_paper(drawn: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Centre a picture on a background of the given size."""
    corner = ((size[0] - drawn.width) // 2, (size[1] - drawn.height) // 2)
    opaque = drawn.mode in OPAQUE or drawn.getchannel("A").getextrema() == (255, 255)
    if opaque and drawn.size == size:
        return drawn
    sheets = (_laid(drawn, corner, Image.new("RGBA", size, paper)) for paper in PAPERS)
    white = next(sheets)
    if opaque or _shows(white):
        return white
    black = next(sheets)
    return black if _shows(black) else white


def _laid(drawn: Image.Image, corner: tuple[int, int], sheet: Image.Image) -> Image.Image:
    sheet.alpha_composite(drawn, corner)
    return sheet


def _shows(sheet: Image.Image) -> bool:
    return any(high - low > FAINT for low, high in sheet.getextrema())  # type: ignore[misc]
