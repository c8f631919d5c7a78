"""Read shards of arrays and their targets from disk.

This module only decodes. The data pull has checked the digests.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError


@dataclass(frozen=True)
class Arrays:
    """Arrays of one split with their targets, in memory."""

    arrays: NDArray[Any]
    """Numbers (N, ...)."""
    targets_N: NDArray[np.float64]

    def __len__(self) -> int:
        """Count the arrays."""
        return len(self.targets_N)


def load_arrays(folder: Path, split: str) -> Arrays:
    """Read every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no such split, or holds no arrays.
    """
    import pyarrow.parquet as pq

    description = describe(folder)
    if "array_shape" not in description:
        msg = f"{description['name']} holds no arrays; name a dataset of arrays in the recipe's data.dataset"
        raise ModelError(msg)
    if split not in description["splits"]:
        msg = f"{description['name']} has no split {split!r}; use one of {', '.join(description['splits'])}"
        raise ModelError(msg)
    table = pq.read_table([folder / shard["path"] for shard in description["splits"][split]["shards"]])
    numbers = np.frombuffer(b"".join(table["array"].to_pylist()), np.dtype(description["dtype"])).copy()
    return Arrays(numbers.reshape(len(table), *description["array_shape"]), table["target"].to_numpy().copy())
