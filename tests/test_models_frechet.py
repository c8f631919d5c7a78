"""The Frechet distance, its ratio with an interval, and the nearest training picture."""

import numpy as np
import pytest

from stillhouse.models.measurement.frechet import compare_distances, frechet_distance
from stillhouse.models.workloads.text_to_image.judging.details import nearest_distance


def _normal(mean: float, spread: float, count: int = 4000) -> np.ndarray:
    exact_NF = np.random.default_rng(1).normal(size=(count, 3))
    exact_NF = (exact_NF - exact_NF.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(exact_NF, rowvar=False))).T
    return (mean + spread * exact_NF).astype(np.float32)


@pytest.mark.parametrize(
    ("mean", "spread", "distance"), [(0, 1, 0), (2, 1, 3 * 2**2), (0, 3, 3 * (3 - 1) ** 2), (1, 2, 3 * (1 + 1))]
)
def test_the_frechet_distance_of_normal_features(mean: float, spread: float, distance: float) -> None:
    """The distance is that of the means plus that of the spreads, in each of three directions."""
    assert frechet_distance(_normal(mean, spread), _normal(0, 1)) == pytest.approx(distance, abs=1e-3)


def test_the_ratio_of_distances_has_an_interval() -> None:
    """A candidate four times as far has a ratio of a quarter, inside its interval."""
    groups_N = np.arange(4000) % 50
    found = compare_distances(_normal(1, 1), _normal(2, 1), _normal(0, 1), groups_N, 0.9)
    low, high = found["interval"]  # type: ignore[misc]
    assert found["value"] == pytest.approx(0.25, abs=1e-3)
    assert 0.2 < low < 0.25 < high < 0.3


def test_the_interval_of_near_sets_has_their_ratio() -> None:
    """Repeated pictures of a resample make both distances larger, and do not move the interval away."""
    random = np.random.default_rng(2)
    real_MF, first_NF, second_NF = (random.normal(size=(500, 32)).astype(np.float32) for _ in range(3))
    found = compare_distances(first_NF + 0.3, second_NF + 0.1, real_MF, np.arange(500), 0.9)
    low, high = found["interval"]  # type: ignore[misc]
    assert 2 < low < found["value"] < high < 6  # type: ignore[operator]


def test_the_nearest_training_picture_of_a_copy_is_itself() -> None:
    """A copy has distance 0, and a picture that differs in one white pixel has distance 1."""
    train_NCHW = np.zeros((3, 1, 2, 2), np.uint8)
    other_NCHW = train_NCHW.copy()
    other_NCHW[:, 0, 0, 0] = 255
    assert nearest_distance(train_NCHW, train_NCHW) == pytest.approx(0)
    assert nearest_distance(other_NCHW, train_NCHW) == pytest.approx(1)
