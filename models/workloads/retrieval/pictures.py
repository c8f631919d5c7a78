"""The pictures that queries search, and their form on an HTML page."""

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import Images, load_gallery, load_images


def pictures_of(data: Path, split: str) -> Images:
    """Read the pictures that a split's queries search."""
    return load_gallery(data) if "gallery" in describe(data) else load_images(data, split)


def png_address(image_CHW: NDArray[np.uint8]) -> str:
    """Return raw pixels (3, H, W) as a PNG file in a data URL."""
    stream = io.BytesIO()
    Image.fromarray(image_CHW.transpose(1, 2, 0)).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
