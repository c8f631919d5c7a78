"""What one deployable answers to every image of a split, asked one at a time as it would be served.

A process of its own for each row: `python -m benchmarks.peers.judge RUNTIME FILE DATA SPLIT COUNT ANSWERS.npy`.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.runners import RUNNERS
from stillhouse.models.data.images import load_images


def main() -> None:
    """Ask for every class and write them (N,)."""
    runtime, file, data, split, count, answers = sys.argv[1:]
    run = RUNNERS[runtime](Path(file))
    images_NCHW = load_images(Path(data), split).images_NCHW[: int(count)]
    logits_NK = np.concatenate([run(images_NCHW[at : at + 1]).copy() for at in range(len(images_NCHW))])
    if not np.isfinite(logits_NK).all():
        sys.exit("the deployable answered with NaN or infinity")
    np.save(answers, logits_NK.argmax(1))


if __name__ == "__main__":
    main()
