"""Read lines with a network: logits of letters for each frame, and from them a text."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.workloads.transcripts.spelling import read_greedily

AT_ONCE = 16
"""Lines that a network reads at once. A recogniser of 18,000 characters makes 50 MB of numbers of them."""


def read_lines(
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images_NCHW: NDArray[np.uint8], letters: Sequence[str]
) -> list[str]:
    """Return the text of each line.

    Args:
        run: returns logits (N, F, V) of some lines.
        images_NCHW: the lines.
        letters: the vocabulary; number 0 is the blank.
    """
    texts = []
    for start in range(0, len(images_NCHW), AT_ONCE):
        texts += [read_greedily(logits_FV, letters) for logits_FV in run(images_NCHW[start : start + AT_ONCE])]
    return texts
