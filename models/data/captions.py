"""Read captions from disk, as rows of words, for a text encoder. The data pull has checked the digests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe, with_split_names
from stillhouse.models.errors import ModelError


@dataclass(frozen=True)
class Captions:
    """The labels of a dataset in words: at most one row per label and language, in the order of the file."""

    labels_N: NDArray[np.int64]
    """Class indices, the same as those of the images."""
    languages: list[str]
    names: list[str]
    tags: list[list[str]]
    """Other words for the label, at least one word."""
    splits: list[str] | None = None
    """Split of each row. None if the images have splits and the captions have none."""

    def __len__(self) -> int:
        """Count the captions."""
        return len(self.labels_N)

    def of(self, split: str) -> "Captions":
        """Keep the captions of one split. If captions have no splits, keep all."""
        if self.splits is None:
            return self
        rows = [row for row, own in enumerate(self.splits) if own == split]
        languages, names, tags = ([of[row] for row in rows] for of in (self.languages, self.names, self.tags))
        return Captions(self.labels_N[rows], languages, names, tags)  # type: ignore[arg-type]


def load_captions(folder: Path) -> Captions:
    """Read the captions of a materialised dataset.

    Raises:
        ModelError: the dataset has no captions.
    """
    import pyarrow.parquet as pq

    description = describe(folder)
    if "captions" not in description:
        msg = f"{description['name']} has no captions; name a dataset with captions in the recipe's data.dataset"
        raise ModelError(msg)
    table = with_split_names(pq.read_table(folder / description["captions"]["path"]))
    return Captions(
        labels_N=table["label"].to_numpy().astype(np.int64),
        languages=table["language"].to_pylist(),
        names=table["name"].to_pylist(),
        tags=table["tags"].to_pylist(),
        splits=table["split"].to_pylist() if "split" in table.column_names else None,
    )
