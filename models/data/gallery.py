"""Read the gallery of a dataset of recordings: one picture per label."""

from pathlib import Path

import pyarrow.parquet as pq

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import Images, images_of
from stillhouse.models.errors import ModelError


def load_gallery(folder: Path) -> Images:
    """Read the gallery of a materialised dataset, in the order of its labels.

    Raises:
        ModelError: the dataset has no gallery.
    """
    description = describe(folder)
    if "gallery" not in description:
        msg = f"{description['name']} has no gallery; name a dataset with a gallery in the recipe's data.dataset"
        raise ModelError(msg)
    return images_of(pq.read_table(folder / description["gallery"]["path"]), description)
