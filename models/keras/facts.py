"""What a classifier's shape and outputs say about it: layout, and whether the outputs are probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS = (1, 3, 4)
"""Usual numbers of channels of an image."""
SUM = 1e-3
"""Largest distance from 1 of a sum of probabilities."""


def describe(shape: Sequence[int | None], outputs: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    """Return what a recipe's teacher section must say.

    Args:
        shape: of one image, in the model's layout. None is a side of any size.
        outputs: (N, K) for images in several ranges.

    Returns:
        `shape`, `layout`, `output` (`probabilities` if all rows are shares that sum to 1) and `classes`.
    """
    layout = "NCHW" if shape[0] in CHANNELS and shape[2] not in CHANNELS else "NHWC"
    return {
        "shape": list(shape),
        "layout": layout,
        "output": "probabilities" if all(map(_are_shares, outputs)) else "logits",
        "classes": int(outputs[0].shape[-1]),
    }


def _are_shares(outputs_NK: NDArray[np.float32]) -> bool:
    sums_N = outputs_NK.sum(-1)
    return bool(outputs_NK.min() >= 0 and np.abs(sums_N - 1).max() <= SUM)
