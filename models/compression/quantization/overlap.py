"""Whether the examples of one role turn up in another: scales read from what is later judged would flatter the file."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError


def refuse_overlap(calibration_NCHW: NDArray[np.generic], others: Mapping[str, NDArray[np.generic]]) -> None:
    """Check that no calibration example is an example of another role, by the digest of each.

    Args:
        calibration_NCHW: examples along the first axis.
        others: by role, examples of the same shape and type.

    Raises:
        ModelError: they overlap; names the role and says how many.
    """
    calibration = set(map(_digest, calibration_NCHW))
    for role, examples_NCHW in others.items():
        shared = sum(_digest(example) in calibration for example in examples_NCHW)
        if shared:
            msg = (
                f"{shared} examples of role {role} are calibration examples too; take them out of one of the two roles "
                "and build the data again"
            )
            raise ModelError(msg)


def _digest(example: NDArray[np.generic]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(example).tobytes()).digest()
