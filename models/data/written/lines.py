"""Pictures of lines of text with their texts: all of one height, filled to one width."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import images_of
from stillhouse.models.data.picture_files import read_picture
from stillhouse.models.data.pictures import on_paper
from stillhouse.models.errors import ModelError

EMPTY = 127
"""Raw pixel beside a line. Recognisers scale pixels to -1 to 1 and fill with 0, which is this grey."""


@dataclass(frozen=True)
class Lines:
    """Lines of one split, in memory."""

    images_NCHW: NDArray[np.uint8]
    texts: list[str]

    def __len__(self) -> int:
        """Count the lines."""
        return len(self.texts)


def load_lines(folder: Path, split: str) -> Lines:
    """Read every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no such split, or holds no lines of text.
    """
    import pyarrow.parquet as pq

    described = _describe(folder)
    if split not in described["splits"]:
        msg = f"{described['name']} has no split {split!r}; use one of {', '.join(described['splits'])}"
        raise ModelError(msg)
    table = pq.read_table([folder / shard["path"] for shard in described["splits"][split]["shards"]])
    return Lines(images_of(table, described).images_NCHW, table["text"].to_pylist())


def letters_of(folder: Path) -> list[str]:
    """Read the characters of a dataset's texts. Number 1 is the first one.

    Raises:
        ModelError: the dataset holds no lines of text.
    """
    return list(_describe(folder)["lines"]["letters"])


def line_of(content: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the raw pixels (C, H, W) of a picture of a line: scaled to the height, then filled on its right.

    A line that is too wide then is made narrower.

    Raises:
        ModelError: the file is not a readable picture, the picture is too large, or it shows nothing.
    """
    channels, height, width = shape
    drawn = read_picture(content)
    laid = on_paper(drawn, drawn.size).convert("L" if channels == 1 else "RGB")
    scaled = laid.resize((min(width, width_at(laid.size, height)), height), Image.Resampling.BILINEAR)
    levels_HWC = np.asarray(scaled).reshape(height, -1, channels)
    if levels_HWC.min() == levels_HWC.max():
        msg = "the picture shows nothing, as all of its pixels have one value; leave it out"
        raise ModelError(msg)
    line_CHW = np.full(shape, EMPTY, np.uint8)
    line_CHW[:, :, : levels_HWC.shape[1]] = levels_HWC.transpose(2, 0, 1)
    return line_CHW


def width_at(size: tuple[int, int], height: int) -> int:
    """Return the width of a picture of a size (width, height) that is scaled to another height."""
    return max(1, ceil(height * size[0] / size[1]))


def _describe(folder: Path) -> dict[str, Any]:
    described = describe(folder)
    if "lines" not in described:
        msg = f"{described['name']} has no lines of text; name a dataset of pictures with texts in data.dataset"
        raise ModelError(msg)
    return described
