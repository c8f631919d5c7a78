"""Additional results of two generators: Frechet distances, distances to the training pictures, grids of pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.images import load_images
from stillhouse.models.measurement.frechet import frechet_distance
from stillhouse.models.workloads.text_to_image.judging.png import grid_of, png_address
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.prompts import Prompts

Images = NDArray[np.uint8]
STEPS = (1, 2, 4)
"""Numbers of steps at which the report shows pictures."""
PROMPTS = 10
"""Prompts of a grid."""
COMPARED = 200
"""Pictures whose nearest training picture is searched."""


class Judging(Protocol):
    """The judges of pictures."""

    def features(self, images_NCHW: Images) -> NDArray[np.float32]:
        """Return the features (N, F) of pictures."""

    def logits(self, images_NCHW: Images) -> NDArray[np.float32]:
        """Return how much each class is seen in each picture (N, K)."""


class Split(Protocol):
    """A split that asks for pictures."""

    @property
    def prompts(self) -> Prompts:
        """The prompts."""

    @property
    def halves(self) -> tuple[Images, Images]:
        """Two halves of the real pictures."""

    @property
    def labels_N(self) -> NDArray[np.int64]:  # noqa: N802 - a tensor name
        """Class of each picture of the first half."""

    @property
    def judge(self) -> Judging:
        """The judges."""


class Maker(Protocol):
    """A model that makes pictures."""

    def read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of prompts."""

    def make(self, conditions_ND: NDArray[np.float32], seeds: Sequence[int], steps: int | None = None) -> Images:
        """Return pictures (N, C, H, W)."""


def describe_pictures(
    data: Path, models: Mapping[str, Maker], split: Split, pictures: Mapping[str, Images]
) -> dict[str, Any]:
    """Return the results of `teacher` and `student` that only text to image has."""
    train_MP = load_images(data, "train").images_NCHW
    real = {"real pictures": split.halves[0]}
    return {
        "frechet": distances_of(split, pictures),
        "count": len(split.halves[0]),
        "shown": float(shown(split.judge.logits(split.halves[0]), split.labels_N).mean()),
        "nearest": {name: nearest_distance(images, train_MP) for name, images in {**real, **pictures}.items()},
        "grids": _grids(models, split),
    }


def describe_test(split: Split, pictures: Mapping[str, Images]) -> dict[str, Any]:
    """Return the Frechet distances on the test split."""
    return {"frechet": distances_of(split, pictures), "count": len(split.halves[0])}


def distances_of(split: Split, pictures: Mapping[str, Images]) -> dict[str, float]:
    """Return the Frechet distance of each model to the second half of the real pictures, and that of the first half."""
    first_NF, second_NF = map(split.judge.features, split.halves)
    found = {name: frechet_distance(split.judge.features(images), second_NF) for name, images in pictures.items()}
    return {"real pictures": frechet_distance(first_NF, second_NF), **found}


def nearest_distance(images_NCHW: Images, train_MCHW: Images) -> float:
    """Return the median distance of pictures to the nearest training picture, in pixels from 0 to 1 (Euclidean)."""
    chosen_NP, train_MP = (
        images.reshape(len(images), -1).astype(np.float32) / 255 for images in (images_NCHW[:COMPARED], train_MCHW)
    )
    squares_NM = (chosen_NP**2).sum(1)[:, None] - 2 * chosen_NP @ train_MP.T + (train_MP**2).sum(1)
    return float(np.median(np.sqrt(squares_NM.min(1).clip(0))))


def _grids(models: Mapping[str, Maker], split: Split) -> list[dict[str, Any]]:
    """Return pictures of a few prompts: the teacher's own, and both models' at several numbers of steps."""
    texts = [split.prompts.texts[place] for place in split.prompts.spread(PROMPTS, np.random.default_rng(0))]
    seeds = list(range(len(texts)))
    rows: list[tuple[str, str, int | None]] = [("teacher, its own sampler", "teacher", None)]
    rows += [(f"{name}, {steps} step{'s' * (steps > 1)}", name, steps) for name in models for steps in STEPS]
    return [
        {
            "name": shown,
            "texts": texts,
            "image": png_address(grid_of(models[name].make(models[name].read(texts), seeds, steps), len(texts))),
        }
        for shown, name, steps in rows
    ]
