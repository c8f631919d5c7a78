"""Confidence intervals, so that every number is reported with its uncertainty."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.distributions import sign_tail, student_quantile

Interval = tuple[float, float]
Groups = NDArray[np.int64]
Weights = NDArray[np.float64]
RESAMPLES = 20_000


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return the two-sided interval of a share (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy_ratio_interval(
    teacher_right_N: NDArray[np.bool_], student_right_N: NDArray[np.bool_], confidence: float, seed: int = 0
) -> Interval:
    """Return the two-sided bootstrap interval of student accuracy / teacher accuracy on the same examples.

    Pairs are resampled, so that examples that are hard for both models do not count as noise. Only the four counts of
    the pairs matter, so each resample is one multinomial draw.
    """
    cells = np.array(pair_counts(teacher_right_N, student_right_N))
    draws = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), RESAMPLES)
    ratios = (draws[:, 0] + draws[:, 2]) / np.maximum(draws[:, 0] + draws[:, 1], 1)
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def accuracy_difference_interval(
    teacher_right_N: NDArray[np.bool_], student_right_N: NDArray[np.bool_], confidence: float
) -> Interval:
    """Return the two-sided interval of student - teacher accuracy on the same examples (Newcombe 1998, method 10).

    The method combines the Wilson intervals of both accuracies by their correlation (with Newcombe's correction for
    continuity). The interval has some width even if both models are right on exactly the same examples. Its lower
    end at `2 * c - 1` is the one-sided bound at `c`. The student is non-inferior by a margin if the lower end is above
    minus the margin.
    """
    n = len(teacher_right_N)
    both, teacher_only, student_only, neither = pair_counts(teacher_right_N, student_right_N)
    student, teacher = both + student_only, both + teacher_only
    low_s, high_s = (end - student / n for end in wilson_interval(student, n, confidence))
    low_t, high_t = (end - teacher / n for end in wilson_interval(teacher, n, confidence))
    phi = _correlation(both, teacher_only, student_only, neither)
    difference = (student - teacher) / n
    below = math.sqrt(max(0.0, low_s**2 + 2 * phi * low_s * high_t + high_t**2))
    above = math.sqrt(max(0.0, high_s**2 + 2 * phi * high_s * low_t + low_t**2))
    return difference - below, difference + above


def mean_interval(
    values_N: NDArray[np.float64],
    confidence: float,
    groups_N: Groups | None = None,
    weights_N: Weights | None = None,
) -> Interval:
    """Return the two-sided bootstrap interval of a mean of qualities, such as each concept's recall.

    Args:
        values_N: quality of each example, at most 1.
        confidence: confidence of the interval.
        groups_N: group of each example; see `bootstrap_pairs`.
        weights_N: weight of each example; see `bootstrap_pairs`.

    Raises:
        ModelError: all examples belong to one group.
    """
    return _quantiles(_resample(values_N[:, None], groups_N, weights_N)[:, 0], confidence)


def bootstrap_pairs(
    teacher_N: NDArray[np.float64],
    student_N: NDArray[np.float64],
    confidence: float,
    groups_N: Groups | None = None,
    weights_N: Weights | None = None,
) -> tuple[Interval, Interval]:
    """Return the two-sided bootstrap intervals of student mean / teacher mean, and of the difference of the means.

    Args:
        teacher_N: a share from 0 to 1 for each example.
        student_N: shares of the same examples. Pairs are resampled.
        confidence: confidence of each interval.
        groups_N: group of each example. Examples of one group are similarly hard, for instance because of their common
            label, so whole groups are resampled (cluster bootstrap, Davison and Hinkley 1997, 3.8). None means that the
            examples are independent.
        weights_N: weight of each example in the mean, above 0. For example, an error rate over a corpus is the mean of
            the examples' error rates, weighted by their number of words. None gives equal weights.

    Raises:
        ModelError: all examples belong to one group.
    """
    teacher_R, student_R = _resample(np.stack([teacher_N, student_N], axis=1), groups_N, weights_N).T
    ratio = _quantiles(student_R / np.maximum(teacher_R, 1e-9), confidence)
    return ratio, _quantiles(student_R - teacher_R, confidence)


def group_sums(values_NV: NDArray[np.float64], groups_N: Groups) -> NDArray[np.float64]:
    """Sum the rows of each group (G, V), in the order of the group numbers."""
    numbers_G, places_N = np.unique(groups_N, return_inverse=True)
    sums_GV = np.zeros((len(numbers_G), values_NV.shape[1]))
    np.add.at(sums_GV, places_N, values_NV)
    return sums_GV


def _resample(
    values_NV: NDArray[np.float64], groups_N: Groups | None, weights_N: Weights | None
) -> NDArray[np.float64]:
    """Return means (RESAMPLES, V) of resampled groups. Equal groups are drawn together, as counts, to save time."""
    weights_N1 = np.ones((len(values_NV), 1)) if weights_N is None else weights_N[:, None]
    rows_GV = np.concatenate([values_NV * weights_N1, weights_N1], axis=1)
    if groups_N is not None:
        rows_GV = group_sums(rows_GV, groups_N)
        _refuse_one_group(len(rows_GV), len(values_NV))
    cells_CV, counts_C = np.unique(rows_GV, axis=0, return_counts=True)
    draws_RC = np.random.default_rng(0).multinomial(counts_C.sum(), counts_C / counts_C.sum(), RESAMPLES)
    sums_RV: NDArray[np.float64] = draws_RC @ cells_CV
    return sums_RV[:, :-1] / sums_RV[:, -1:]


def _refuse_one_group(groups: int, examples: int) -> None:
    if groups == 1 < examples:
        msg = f"an interval needs two groups, and all {examples} examples are of one; add data of another label"
        raise ModelError(msg)


def _quantiles(values: NDArray[np.float64], confidence: float) -> Interval:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mcnemar_p(teacher_only: int, student_only: int) -> float:
    """Return the two-sided exact p-value of McNemar's test (1947).

    Null hypothesis: each model is equally often the only one that is right.

    Args:
        teacher_only: number of examples on which only the teacher is right.
        student_only: number of examples on which only the student is right.
    """
    discordant = teacher_only + student_only
    return min(1.0, 2 * sign_tail(min(teacher_only, student_only), discordant))


def pair_counts(teacher_right_N: NDArray[np.bool_], student_right_N: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Count the examples on which both are right, only the teacher, only the student, neither."""
    return (
        int((teacher_right_N & student_right_N).sum()),
        int((teacher_right_N & ~student_right_N).sum()),
        int((~teacher_right_N & student_right_N).sum()),
        int((~teacher_right_N & ~student_right_N).sum()),
    )


def _correlation(both: int, teacher_only: int, student_only: int, neither: int) -> float:
    """Return phi of the paired table; 0 if a margin is empty.

    If the numerator is positive, it is lowered by n / 2, but not below 0.
    """
    product = (both + teacher_only) * (student_only + neither) * (both + student_only) * (teacher_only + neither)
    above = both * neither - teacher_only * student_only
    half = (both + teacher_only + student_only + neither) / 2
    corrected = max(0.0, above - half) if above > 0 else above
    return corrected / math.sqrt(product) if product else 0.0


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> tuple[float, Interval]:
    """Return the mean of one number over training seeds, and its two-sided Student interval.

    Raises:
        ModelError: there are fewer than two values, which have no spread.
    """
    if len(values) < 2:  # noqa: PLR2004 - the least that has a spread
        msg = f"an interval over seeds needs two values, not {len(values)}; train with another seed"
        raise ModelError(msg)
    return _student(np.asarray(values, dtype=float), confidence)


def over_seeds_and_examples(
    values: Sequence[float], intervals: Sequence[Interval], confidence: float
) -> tuple[float, Interval]:
    """Return the mean of one number over training seeds, with an interval for two uncertainties: training and examples.

    All seeds are measured on the same examples, so more seeds do not reduce the uncertainty of the examples. The
    distance of each end from the mean is the square root of a sum of two squares. The first is Student's half width
    over the seeds. The second is the root mean square of the distances from each seed's value to that end of its own
    interval. So the variances of both uncertainties are added separately for each side (MOVER, Zou and Donner 2008).
    The interval is a little too wide if the seeds err on different examples. It is never too narrow.

    Args:
        values: one value per seed.
        intervals: interval of each value over the examples, two-sided at `confidence`.
        confidence: confidence of the interval.

    Raises:
        ModelError: there are fewer than two values.
    """
    mean, (low, _) = over_seeds(values, confidence)
    ends_S2, values_S = np.asarray(intervals, dtype=float), np.asarray(values, dtype=float)
    examples_2 = np.sqrt(((ends_S2 - values_S[:, None]) ** 2).mean(0))
    below, above = (math.hypot(mean - low, float(each)) for each in examples_2)
    return mean, (mean - below, mean + above)


def geometric_interval(values: Sequence[float], confidence: float) -> tuple[float, Interval]:
    """Return the geometric mean of positive values and its two-sided Student interval."""
    mean, (low, high) = _student(np.log(np.asarray(values, dtype=float)), confidence)
    return math.exp(mean), (math.exp(low), math.exp(high))


def _student(values: NDArray[np.float64], confidence: float) -> tuple[float, Interval]:
    mean = float(values.mean())
    half = student_quantile(confidence, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return mean, (mean - half, mean + half)
