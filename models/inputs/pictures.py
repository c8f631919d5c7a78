"""A picture file of any kind -> what an image tower takes: the preparation of serving, nothing of training."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.errors import ModelError

SIDE = 64
MOST_PIXELS = 50_000_000
PAPER = (255, 255, 255, 255)


def picture_of(content: bytes) -> NDArray[np.uint8]:
    """Raw pixels (3, SIDE, SIDE) of a picture file, on white paper, whole and centred.

    Raises:
        ModelError: it is not a picture that can be read, or one too large.
    """
    drawn = _drawn(content)
    side = max(drawn.size)
    paper = Image.new("RGBA", (side, side), PAPER)
    paper.alpha_composite(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    return np.asarray(paper.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)).transpose(2, 0, 1).copy()


def pixels_of(content: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Raw pixels of a shape (C, H, W) of a picture file, grey where C is 1, resized to fit.

    Raises:
        ModelError: it is not a picture that can be read, or one too large.
    """
    channels, height, width = shape
    drawn = _drawn(content).convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(drawn).reshape(height, width, channels).transpose(2, 0, 1).copy()


def _drawn(content: bytes) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(content))
        if opened.width * opened.height > MOST_PIXELS:
            msg = f"the picture has {opened.width} x {opened.height} pixels; give one of at most {MOST_PIXELS:,}"
            raise ModelError(msg)
        return opened.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "it is of no known kind" if isinstance(error, UnidentifiedImageError) else error
        msg = f"the picture cannot be read ({reason}); give a whole PNG, JPEG, WebP or GIF file"
        raise ModelError(msg) from error
