"""Read shards of texts from disk. This module only decodes: the import or the data pull has checked the digests."""

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError

if TYPE_CHECKING:
    import pyarrow as pa

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Matches a control character. No normalised text of a dataset has one."""


def normalise(text: str) -> str:
    """Return a text in Unicode's form NFC, with one space where it has whitespace and none at its ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def load_texts(folder: Path, split: str) -> list[str]:
    """Read the texts of a split of a materialised dataset, in the order of its shards.

    Raises:
        ModelError: the dataset has no such split, or holds no texts.
    """
    texts: list[str] = _read(folder, split, "text").to_pylist()
    return texts


def load_text_labels(folder: Path, split: str) -> NDArray[np.int64]:
    """Read the class indices (N) of a split of texts, in the order of `load_texts`. Each is -1 without labels.

    Raises:
        ModelError: the dataset has no such split, or holds no texts.
    """
    labels_N: NDArray[np.int64] = _read(folder, split, "label").to_numpy().astype(np.int64)
    return labels_N


def _read(folder: Path, split: str, column: str) -> "pa.ChunkedArray":
    import pyarrow.parquet as pq

    described: dict[str, Any] = describe(folder)
    if "texts" not in described:
        msg = f"{described['name']} holds no texts; name a dataset of texts in the recipe's data.dataset"
        raise ModelError(msg)
    if split not in described["splits"]:
        msg = f"{described['name']} has no split {split!r}; use one of {', '.join(described['splits'])}"
        raise ModelError(msg)
    shards = [folder / shard["path"] for shard in described["splits"][split]["shards"]]
    return pq.read_table(shards, columns=[column])[column]
