"""Read image shards from disk. This module only decodes: the data pull has checked the digests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Images:
    """Labelled images of one split, in memory."""

    images_NCHW: NDArray[np.uint8]
    """Raw pixels."""
    labels_N: NDArray[np.int64]
    """Class indices."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels_N)


def load_images(folder: Path, split: str) -> Images:
    """Read every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no such split, or its splits hold no images.
    """
    import pyarrow.parquet as pq

    description = describe_images(folder, split)
    table = pq.read_table([folder / shard["path"] for shard in description["splits"][split]["shards"]])
    return images_of(table, description)


def describe_images(folder: Path, split: str) -> Mapping[str, Any]:
    """Return the description of a materialised dataset of images.

    Raises:
        ModelError: the dataset has no such split, or its splits hold no images.
    """
    description = describe(folder)
    if "gallery" in description:
        msg = (
            f"the splits of {description['name']} hold recordings; name a dataset of images in the recipe's "
            "data.dataset"
        )
        raise ModelError(msg)
    if "image_shape" not in description:
        msg = f"{description['name']} holds no images; name a dataset of images in the recipe's data.dataset"
        raise ModelError(msg)
    if split not in description["splits"]:
        msg = f"{description['name']} has no split {split!r}; use one of {', '.join(description['splits'])}"
        raise ModelError(msg)
    return description


def load_gallery(folder: Path) -> Images:
    """Read the gallery of a materialised dataset, in the order of its labels.

    Raises:
        ModelError: the dataset has no gallery.
    """
    import pyarrow.parquet as pq

    description = describe(folder)
    if "gallery" not in description:
        msg = f"{description['name']} has no gallery; name a dataset with a gallery in the recipe's data.dataset"
        raise ModelError(msg)
    return images_of(pq.read_table(folder / description["gallery"]["path"]), description)


def images_of(table: "pa.Table", description: Mapping[str, Any]) -> Images:
    """Decode the columns `image` and `label` of a table."""
    pixels = np.frombuffer(b"".join(table["image"].to_pylist()), dtype=np.uint8).copy()
    return Images(pixels.reshape(len(table), *description["image_shape"]), table["label"].to_numpy().astype(np.int64))
