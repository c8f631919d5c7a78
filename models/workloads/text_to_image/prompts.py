"""Read the prompts of a dataset: sentences that ask for a picture of a class. Each split has wordings of its own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError


@dataclass(frozen=True)
class Prompts:
    """The prompts of one split."""

    texts: list[str]
    labels_N: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the prompts."""
        return len(self.texts)

    def choose(self, labels_N: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the place (N) of a random prompt for each label."""
        places = [np.flatnonzero(self.labels_N == label) for label in range(int(self.labels_N.max()) + 1)]
        counts_K = np.array([len(own) for own in places])
        order_N = (generator.random(len(labels_N)) * counts_K[labels_N]).astype(np.int64)
        chosen_N: NDArray[np.int64] = np.concatenate(places)[counts_K.cumsum()[labels_N] - counts_K[labels_N] + order_N]
        return chosen_N


def load_prompts(folder: Path, split: str) -> Prompts:
    """Read the prompts of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no prompts, or none in this split.
    """
    described = describe(folder)
    if "prompts" not in described:
        msg = f"{described['name']} has no prompts; name a dataset with prompts in the recipe's data.dataset"
        raise ModelError(msg)
    rows = [row for row in pq.read_table(folder / described["prompts"]["path"]).to_pylist() if row["split"] == split]
    if not rows:
        msg = f"{described['name']} has no prompts in split {split!r}; build the dataset again"
        raise ModelError(msg)
    return Prompts([row["text"] for row in rows], np.array([row["label"] for row in rows], np.int64))
