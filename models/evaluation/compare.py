"""Compare two models on the same examples: quality, ratio and difference, each with its interval.

`confidence` is two-sided.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.statistics import (
    Interval,
    accuracy_difference_interval,
    accuracy_ratio_interval,
    bootstrap_pairs,
    group_sums,
    mcnemar_p,
    mean_interval,
    wilson_interval,
)

UNKNOWN = (-1.0, 1.0)
"""Interval of an unknown difference. A slice with one example has no spread."""
Estimate = dict[str, Any]
Qualities = NDArray[np.float64]


def quality(scores: Scores, confidence: float) -> Estimate:
    """Return the mean quality with its interval.

    Raises:
        ModelError: all examples belong to one group.
    """
    if scores.are_counts:
        right_N = scores.quality_N == 1
        interval = wilson_interval(int(right_N.sum()), len(right_N), confidence)
    else:
        interval = mean_interval(scores.quality_N, confidence, scores.groups_N, scores.weights_N)
    return {"value": scores.mean, "interval": interval}


def ratio(teacher: Scores, student: Scores, confidence: float) -> Estimate:
    """Return student quality / teacher quality with its interval.

    Raises:
        ModelError: all examples belong to one group.
    """
    value = student.mean / max(teacher.mean, 1e-9)
    if teacher.are_counts and student.are_counts:
        return {"value": value, "interval": accuracy_ratio_interval(*_right(teacher, student), confidence)}
    return {"value": value, "interval": _bootstrap_pairs(teacher, student, confidence)[0]}


def difference(teacher: Scores, student: Scores, confidence: float) -> Estimate:
    """Return student quality - teacher quality with its interval.

    `lower_bound` is one-sided at (1 + confidence) / 2.

    Raises:
        ModelError: all examples belong to one group.
    """
    interval = _difference_interval(teacher, student, confidence)
    value = student.mean_of(student.quality_N - teacher.quality_N)
    return {"value": value, "interval": interval, "lower_bound": interval[0]}


def _difference_interval(teacher: Scores, student: Scores, confidence: float) -> Interval:
    if teacher.are_counts and student.are_counts:
        return accuracy_difference_interval(*_right(teacher, student), confidence)
    return _bootstrap_pairs(teacher, student, confidence)[1]


def _bootstrap_pairs(teacher: Scores, student: Scores, confidence: float) -> tuple[Interval, Interval]:
    """Return the intervals of the ratio and of the difference."""
    return bootstrap_pairs(teacher.quality_N, student.quality_N, confidence, teacher.groups_N, teacher.weights_N)


def slice_differences(teacher: Outcomes, student: Outcomes, confidence: float) -> dict[str, Estimate]:
    """Return the difference on every slice that has examples."""
    return {
        name: _slice_difference(teacher.slices[name], scores, confidence)
        for name, scores in student.slices.items()
        if len(scores.quality_N)
    }


def _slice_difference(teacher: Scores, student: Scores, confidence: float) -> Estimate:
    """Return the difference on one slice. With a single example or a single group, the interval is `UNKNOWN`."""
    try:
        found = difference(teacher, student, confidence)
    except ModelError:
        return {"value": student.mean - teacher.mean, "interval": UNKNOWN}
    alone = len(student.quality_N) == 1 and not (teacher.are_counts and student.are_counts)
    return found | {"interval": UNKNOWN} if alone else found


def compare_pairs(teacher: Outcomes, student: Outcomes, confidence: float) -> dict[str, Any]:
    """Compare the two models example by example. The p-value is from a sign test over groups of examples.

    Raises:
        ModelError: all examples belong to one group.
    """
    both_N2 = np.stack([teacher.scores.quality_N, student.scores.quality_N], axis=1)
    return {
        "difference": difference(teacher.scores, student.scores, confidence),
        "mcnemar_p": mcnemar_p(*_better(_by_group(teacher.scores, both_N2))),
        "discordant": _better(both_N2),
        "churn": float((teacher.answers_Q != student.answers_Q).mean()),
    }


def _by_group(scores: Scores, both_N2: Qualities) -> Qualities:
    """Sum the weighted quality of both models over each group (G, 2)."""
    groups_N = np.arange(len(both_N2)) if scores.groups_N is None else scores.groups_N
    weights_N = np.ones(len(both_N2)) if scores.weights_N is None else scores.weights_N
    return group_sums(both_N2 * weights_N[:, None], groups_N).round(9)


def _better(both_N2: Qualities) -> tuple[int, int]:
    """Count the rows where the teacher is better, and those where the student is better."""
    teacher_N, student_N = both_N2.T
    return int((teacher_N > student_N).sum()), int((student_N > teacher_N).sum())


def _right(teacher: Scores, student: Scores) -> tuple[Any, Any]:
    return teacher.quality_N == 1, student.quality_N == 1
