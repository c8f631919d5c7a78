"""Pictures as PNG files, alone and in a grid."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EDGE = 1
"""Pixels between two pictures of a grid."""


def png_of(image_CHW: NDArray[np.uint8]) -> bytes:
    """Return a picture, grey or in colours, as a PNG file."""
    stream = io.BytesIO()
    levels = image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(levels)).save(stream, "PNG")
    return stream.getvalue()


def png_address(image_CHW: NDArray[np.uint8]) -> str:
    """Return a picture as a PNG file in a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png_of(image_CHW)).decode()}"


def grid_of(images_NCHW: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Join pictures to one picture (C, H, W), row by row, with white between them."""
    count, channels, height, width = images_NCHW.shape
    rows = -(-count // columns)
    sheet_CHW = np.full((channels, rows * (height + EDGE) - EDGE, columns * (width + EDGE) - EDGE), 255, np.uint8)
    for number, image_CHW in enumerate(images_NCHW):
        top, left = (number // columns) * (height + EDGE), (number % columns) * (width + EDGE)
        sheet_CHW[:, top : top + height, left : left + width] = image_CHW
    return sheet_CHW
