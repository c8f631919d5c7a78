"""Metrics and intervals, by tables worked out by hand or from published examples."""

import math

import numpy as np
import pytest

from models.errors import ModelError
from models.metrics import recall_per_class, right
from models.statistics import accuracy_ratio_interval, geometric_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_wilson_interval_matches_newcombe(successes: int, trials: int, low: float, high: float) -> None:
    """The 95 % interval equals the worked examples of Newcombe (1998), also at no and at full success."""
    assert wilson_interval(successes, trials, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_identical_answers_have_a_certain_ratio() -> None:
    """A student that is right exactly where its teacher is has the ratio 1 without any doubt."""
    answers = np.array([True] * 90 + [False] * 10)
    assert accuracy_ratio_interval(answers, answers, 0.9) == (1.0, 1.0)


def test_the_ratio_interval_is_paired() -> None:
    """Where both err on the same examples the interval is narrower than where they err on different ones."""
    teacher = np.array([True] * 900 + [False] * 100)
    paired = np.array([True] * 890 + [False] * 110)
    crossed = np.array([False] * 55 + [True] * 845 + [True] * 45 + [False] * 55)
    widths = [high - low for low, high in (accuracy_ratio_interval(teacher, s, 0.9) for s in (paired, crossed))]
    assert widths[0] < widths[1] / 2


def test_the_ratio_interval_covers_as_often_as_it_says() -> None:
    """Over 300 simulated nights a 90 % interval holds the true ratio in 85 to 95 % of them."""
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        cell = random.choice(4, size=1000, p=[0.88, 0.05, 0.03, 0.04])
        low, high = accuracy_ratio_interval(cell < 2, (cell == 0) | (cell == 2), 0.9)
        hits += low <= 0.91 / 0.93 <= high
    assert 0.85 <= hits / 300 <= 0.95


def test_the_geometric_interval_is_students() -> None:
    """For 2, 4 and 8 the mean is 4 and the interval is exp(log 4 -+ t * sd / sqrt 3)."""
    mean, (low, high) = geometric_interval([2.0, 4.0, 8.0], 0.95)
    factor = math.exp(4.302653 * math.log(2) / math.sqrt(3))
    assert mean == pytest.approx(4.0)
    assert (low, high) == pytest.approx((4 / factor, 4 * factor), rel=1e-6)


def test_recall_counts_each_class() -> None:
    """Recall is found per class by its own examples, and NaN for a class without any."""
    recalls = recall_per_class(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)
    assert recalls[:2] == [0.5, 0.5]
    assert math.isnan(recalls[2])


def test_answers_and_labels_must_fit() -> None:
    """Comparing answers with the labels of another role is refused."""
    with pytest.raises(ModelError, match="3 answers cannot be compared with 2 labels"):
        right(np.zeros(3, np.int64), np.zeros(2, np.int64))
