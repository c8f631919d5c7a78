"""The two judges of pictures at run time: one sees classes, the other gives features for the Frechet distance."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.text_to_image.parts import JUDGES


@dataclass(frozen=True)
class Judges:
    """Two classifiers of real pictures, of which each gives features, then logits of the classes."""

    frechet: onnxruntime.InferenceSession
    prompt: onnxruntime.InferenceSession
    count: int
    """Number of classes."""

    def logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how much the judge of prompts sees each class in each picture (N, K)."""
        return predict(self.prompt, images_NCHW)[:, -self.count :]

    def features(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (N, F) of pictures by the other judge."""
        return predict(self.frechet, images_NCHW)[:, : -self.count]


def open_judges(folder: Path, count: int) -> Judges:
    """Open the judges that the stage `export` wrote.

    Args:
        folder: folder of the files.
        count: number of classes.

    Raises:
        ModelError: a file is missing.
    """
    files = [folder / f"{name}.onnx" for name in JUDGES]
    if missing := [file.name for file in files if not file.exists()]:
        msg = f"{folder} has no {' and no '.join(missing)}; run the stage export again"
        raise ModelError(msg)
    frechet, prompt = map(open_session, files)
    return Judges(frechet, prompt, count)
