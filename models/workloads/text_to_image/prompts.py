"""Read the prompts of a dataset: sentences that ask for a picture of a class. Each split has wordings of its own.

A dataset may have styles. Then a prompt names a style too, and the id of a picture begins with its style.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError


@dataclass(frozen=True)
class Prompts:
    """The prompts of one split."""

    texts: list[str]
    labels_N: NDArray[np.int64]
    """Class of each prompt."""
    keys_N: NDArray[np.int64]
    """Class and style of each prompt, as one number."""

    def __len__(self) -> int:
        """Count the prompts."""
        return len(self.texts)

    def choose(self, keys_N: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the place (N) of a random prompt for each key."""
        sorted_M = np.argsort(self.keys_N, kind="stable")
        first_N, last_N = (np.searchsorted(self.keys_N[sorted_M], keys_N, side) for side in ("left", "right"))
        order_N = (generator.random(len(keys_N)) * (last_N - first_N)).astype(np.int64)
        chosen_N: NDArray[np.int64] = sorted_M[first_N + order_N]
        return chosen_N

    def spread(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the places of prompts that are evenly spread over all keys, each a random one of its key."""
        keys_K = np.unique(self.keys_N)
        return self.choose(keys_K[np.linspace(0, len(keys_K), count, endpoint=False).astype(np.int64)], generator)


def load_prompts(folder: Path, split: str) -> Prompts:
    """Read the prompts of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no prompts, or none in this split.
    """
    import pyarrow.parquet as pq

    described = describe(folder)
    if "prompts" not in described:
        msg = f"{described['name']} has no prompts; name a dataset with prompts in the recipe's data.dataset"
        raise ModelError(msg)
    rows = [row for row in pq.read_table(folder / described["prompts"]["path"]).to_pylist() if row["split"] == split]
    if not rows:
        msg = f"{described['name']} has no prompts in split {split!r}; build the dataset again"
        raise ModelError(msg)
    labels_N = np.array([row["label"] for row in rows], np.int64)
    keys_N = keys_of(labels_N, [row.get("style", "") for row in rows], described)
    return Prompts([row["text"] for row in rows], labels_N, keys_N)


def picture_keys(folder: Path, split: str) -> NDArray[np.int64]:
    """Return class and style (N) of the pictures of a split, as the keys of prompts."""
    import pyarrow.parquet as pq

    described = describe(folder)
    shards = [folder / shard["path"] for shard in described["splits"][split]["shards"]]
    table = pq.read_table(shards, columns=["id", "label"])
    styles = [name.partition("/")[0] for name in table["id"].to_pylist()]
    return keys_of(np.array(table["label"].to_pylist(), np.int64), styles, described)


def keys_of(labels_N: NDArray[np.int64], styles: Sequence[str], described: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return classes and styles (N) as one number each. Without styles in the data, it is the class.

    Raises:
        ModelError: a style is none of the data's.
    """
    if "styles" not in described:
        return labels_N
    numbers = {name: number for number, name in enumerate(described["styles"])}
    if unknown := sorted({*styles} - {*numbers}):
        msg = f"{described['name']} has no style {unknown[0]!r}; build the dataset again"
        raise ModelError(msg)
    return labels_N * len(numbers) + np.array([numbers[style] for style in styles], np.int64)


def style_names(keys_N: NDArray[np.int64], described: Mapping[str, Any]) -> list[str]:
    """Return the name of the style of each key, or of its class if the data have no styles."""
    styles = described.get("styles")
    return [styles[key % len(styles)] if styles else described["labels"][key] for key in keys_N]
