"""A picture file of any kind -> what an image encoder takes: the preparation of serving, nothing of training.

Transparent pixels show the paper. It is white, as a viewer shows the file and as the drawings that encoders learn from
stand. If nothing shows on white, as white ink does not, the paper is black: so stand the digits that a classifier of
white on black learns from. Black ink on nothing becomes black on white; it is never inverted, so it is answered as the
same drawing on white paper is.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillhouse.models.data.picture_files import read_picture

SIDE = 64
PAPERS = ((255, 255, 255, 255), (0, 0, 0, 255))
"""The first on which something shows is taken."""
FAINT = 8
"""Levels of 255 between the lightest and the darkest of a picture that shows nothing."""


def picture_of(content: bytes) -> NDArray[np.uint8]:
    """Raw pixels (3, SIDE, SIDE) of a picture file, on paper, whole and centred.

    Raises:
        ModelError: it is not a picture that can be read, or one too large.
    """
    drawn = read_picture(content)
    side = max(drawn.size)
    squared = _on_paper(drawn, (side, side)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(squared).transpose(2, 0, 1).copy()


def pixels_of(content: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Raw pixels of a shape (C, H, W) of a picture file on paper, grey where C is 1, resized to fit.

    Raises:
        ModelError: it is not a picture that can be read, or one too large.
    """
    channels, height, width = shape
    drawn = read_picture(content)
    laid = _on_paper(drawn, drawn.size).convert("L" if channels == 1 else "RGB")
    resized = np.asarray(laid.resize((width, height), Image.Resampling.LANCZOS))
    return resized.reshape(height, width, channels).transpose(2, 0, 1).copy()


def _on_paper(drawn: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Centre a picture on paper of a size."""
    corner = ((size[0] - drawn.width) // 2, (size[1] - drawn.height) // 2)
    opaque = drawn.getchannel("A").getextrema() == (255, 255)
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
