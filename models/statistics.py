"""Intervals, so that a number is never quoted without how far it can be trusted."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Interval = tuple[float, float]
RESAMPLES = 20_000


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Two-sided interval of a share (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy_ratio_interval(
    teacher_right_N: NDArray[np.bool_], student_right_N: NDArray[np.bool_], confidence: float, seed: int = 0
) -> Interval:
    """Two-sided bootstrap interval of student accuracy / teacher accuracy on the same examples.

    Pairs are resampled, so that what both find hard does not count as noise. Only the four counts of the pairs
    matter, hence one multinomial draw a resample.
    """
    cells = np.array(
        [
            (teacher_right_N & student_right_N).sum(),
            (teacher_right_N & ~student_right_N).sum(),
            (~teacher_right_N & student_right_N).sum(),
            (~teacher_right_N & ~student_right_N).sum(),
        ]
    )
    draws = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), RESAMPLES)
    ratios = (draws[:, 0] + draws[:, 2]) / np.maximum(draws[:, 0] + draws[:, 1], 1)
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def geometric_interval(values: Sequence[float], confidence: float) -> tuple[float, Interval]:
    """Geometric mean of positive values and its two-sided Student interval."""
    logs = np.log(np.asarray(values, dtype=float))
    half = float(stats.t.ppf((1 + confidence) / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    mean = float(logs.mean())
    return math.exp(mean), (math.exp(mean - half), math.exp(mean + half))
