"""Check for examples that are both in the calibration split and in another split.

If scales were calibrated on examples of the test splits, the measured quality would be too high.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError


def refuse_overlap(calibration_NCHW: NDArray[np.generic], others: Mapping[str, NDArray[np.generic]]) -> None:
    """Check that no calibration example is also in another split, by the digest of each example.

    Args:
        calibration_NCHW: examples along the first axis.
        others: split -> examples of the same shape and type.

    Raises:
        ModelError: examples overlap. The message names the split and the number of examples.
    """
    calibration = set(map(_digest, calibration_NCHW))
    for split, examples_NCHW in others.items():
        shared = sum(_digest(example) in calibration for example in examples_NCHW)
        if shared:
            msg = (
                f"{shared} examples of split {split} are calibration examples too; take them out of one of the two "
                "splits and build the data again"
            )
            raise ModelError(msg)


def _digest(example: NDArray[np.generic]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(example).tobytes()).digest()
