"""Runtime of image classification: pictures in, classes out. Quality is accuracy."""

import io
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import Images, load_images
from stillhouse.models.data.pictures import pixels_of
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes
from stillhouse.models.measurement.latency import open_call
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import Answerer, Request, Runtime, spread
from stillhouse.models.workloads.classes import Classes, class_outcomes, compare_with_reference, most_likely
from stillhouse.models.workloads.registry import ALONE

Split = tuple[Images, list[str]]
"""Raw pictures with their classes, and the names of all classes."""
SEED = 3
BODIES = 64
"""Number of different requests for a load test."""


class ImageClassification:
    """Runtime of image classification. A split is pictures with their classes. The answers are the model's classes."""

    packages: Sequence[str] = ()
    answer: Literal["class", "vector"] = "class"

    def load_split(self, data: Path, split: str) -> Split:
        """Read raw pictures with their classes, and the names of all classes."""
        return load_images(data, split), describe(data)["labels"]

    def ask(self, bundle: Bundle, split: Split) -> Classes:
        """Return the classes (N,) that a file predicts."""
        classes_N: Classes = predict(open_session(bundle.file(ALONE)), split[0].images_NCHW).argmax(1)
        return classes_N

    def outcomes(self, split: Split, answers: Classes, _reference: Classes) -> Outcomes:
        """Return the quality of each picture: 1 if its class is right, otherwise 0. Each class is a slice."""
        return class_outcomes(answers, split[0].labels_N, split[1])

    def parity(self, references: Path, _split: Split, answers: Classes) -> float:
        """Return the share of pictures for which the training-time model predicts another class."""
        return compare_with_reference(references, answers)

    def one_request(self, _data: Path, split: Split) -> Request:
        """Return one picture."""
        return Request({ALONE: split[0].images_NCHW[:1]})

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open a file again. The call classifies the picture."""
        return open_call(bundle.file(ALONE), request.raw[ALONE])

    def raw_inputs(self, _bundle: Bundle, split: Split, most: int) -> dict[str, list[NDArray[Any]]]:
        """Return raw pictures (1, C, H, W)."""
        images_NCHW = split[0].images_NCHW
        return {ALONE: [images_NCHW[place : place + 1] for place in spread(len(images_NCHW), most)]}

    def comparisons(self, *_: object) -> dict[str, Any]:
        """Return no additional comparisons."""
        return {}

    def details(self, *_: object) -> dict[str, Any]:
        """Return no additional details."""
        return {}

    def test_details(self, *_: object) -> dict[str, Any]:
        """Return no additional details."""
        return {}

    def serve(self, bundle: Bundle, labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer picture files or raw pixels with the most likely class and its probability."""
        session, names = open_session(bundle.file(ALONE)), bundle.about.get("labels") or labels
        shape = tuple(session.get_inputs()[0].shape[1:])
        return {
            "pixels": lambda images: most_likely(session, raw_of(images, shape), names),
            "image": lambda files: most_likely(session, np.stack([pixels_of(file, shape) for file in files]), names),
        }

    def probe(self, bundle: Bundle) -> None:
        """Classify noise."""
        session = open_session(bundle.file(ALONE))
        sizes = [size if isinstance(size, int) else 1 for size in session.get_inputs()[0].shape]
        predict(session, np.random.default_rng(SEED).integers(0, 256, sizes, dtype=np.uint8))

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return pictures of the gate split, as PNG files."""
        return "image/png", [_png(image_CHW) for image_CHW in load_images(data, "gate").images_NCHW[:BODIES]]


def raw_of(images: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Convert nested lists to pixels (N, *shape). Each level is checked before anything is copied.

    Raises:
        ModelError: the lists are not whole numbers from 0 to 255 in this shape.
    """
    numbers = list(images)
    for size in shape:
        if not all(isinstance(each, list) and len(each) == size for each in numbers):
            raise ModelError(_misfit(shape))
        numbers = list(chain.from_iterable(numbers))
    if set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) > 255:  # noqa: PLR2004
        raise ModelError(_misfit(shape))
    return np.array(numbers, np.uint8).reshape(-1, *shape)


def _misfit(shape: tuple[int, ...]) -> str:
    wanted = f"(N, {', '.join(map(str, shape))})"
    return f"the pixels do not fit; send whole numbers from 0 to 255 in lists of shape {wanted}"


def _png(image_CHW: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    image_HWC = image_CHW.transpose(1, 2, 0)
    Image.fromarray(image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC).save(stream, "PNG")
    return stream.getvalue()


RUNTIME: Runtime = ImageClassification()
