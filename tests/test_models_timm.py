"""How a timm folder prepares pictures, read from its config.json."""

from typing import Any

import pytest

from stillhouse.models.errors import ModelError
from stillhouse.models.timm.preparation import read_preparation

SQUARE = {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic"}


@pytest.mark.parametrize(
    ("config", "shape", "resized", "cropped"),
    [
        (SQUARE, (3, 224, 224), [256, 256], [224, 224]),
        (SQUARE, (3, 32, 32), [256, 256], [224, 224]),
        (SQUARE, (3, 32, 64), [256, 512], [224, 224]),
        (SQUARE | {"crop_pct": 1.0}, (3, 64, 32), [448, 224], [224, 224]),
        (SQUARE | {"crop_mode": "squash"}, (3, 32, 64), [256, 256], [224, 224]),
        (SQUARE | {"input_size": [1, 28, 28], "crop_pct": 1}, (1, 28, 28), [28, 28], [28, 28]),
        ({}, (3, 224, 224), [256, 256], [224, 224]),
    ],
)
def test_pictures_are_resized_and_cut_as_timm_does(
    config: dict[str, Any], shape: tuple[int, ...], resized: list[int], cropped: list[int]
) -> None:
    """The shorter side becomes that of the model divided by crop_pct, and the middle is cut out."""
    found = read_preparation(config, shape, "model")
    assert (found["side"], found["resized"], found["cropped"]) == ([*shape[1:]], resized, cropped)


def test_pixels_are_scaled_by_mean_and_deviation() -> None:
    """A pixel of 255 becomes (1 - mean) / std."""
    found = read_preparation(SQUARE | {"mean": [0.5, 0.25, 0.0], "std": [0.5, 0.5, 1.0]}, (3, 8, 8), "model")
    ends = [255 * scale - shift for scale, shift in zip(found["scale"], found["shift"], strict=True)]
    assert ends == pytest.approx([1.0, 1.5, 1.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop_mode": "border"}, "model prepares pictures by crop_mode border, .* set it to center or squash"),
        ({"interpolation": "random"}, "model resizes pictures by random, .* set interpolation to nearest or"),
    ],
)
def test_what_is_not_known_is_refused(changes: dict[str, Any], words: str) -> None:
    """The sentence names the value and what is known."""
    with pytest.raises(ModelError, match=words):
        read_preparation(SQUARE | changes, (3, 8, 8), "model")
