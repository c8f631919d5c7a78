"""Read a split of contents of one shape with their classes: pictures, or clips of recordings."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.data.sound.clips import load_clips


class Contents(NamedTuple):
    """Raw contents and their classes."""

    raw: NDArray[Any]
    """Pixels (N, C, H, W), uint8, or samples (N, T), int16."""
    labels_N: NDArray[np.int64]


def load_contents(folder: Path, split: str) -> Contents:
    """Read every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no such split, or holds neither pictures nor clips.
    """
    if "clips" in describe(folder):
        clips = load_clips(folder, split)
        return Contents(clips.samples_NT, clips.labels_N)
    images = load_images(folder, split)
    return Contents(images.images_NCHW, images.labels_N)
