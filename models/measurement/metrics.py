"""Quality metrics, as fractions. Higher is better."""

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError


def right(answers_N: NDArray[np.int64], labels_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell for each example whether the answer equals the label.

    Raises:
        ModelError: the lengths differ.
    """
    if answers_N.shape != labels_N.shape:
        msg = f"{len(answers_N)} answers cannot be compared with {len(labels_N)} labels; evaluate the same split"
        raise ModelError(msg)
    equal_N: NDArray[np.bool_] = answers_N == labels_N
    return equal_N


def churn(teacher_answers_N: NDArray[np.int64], student_answers_N: NDArray[np.int64]) -> float:
    """Return the share of examples on which the two answers differ, right or wrong (Milani Fard et al. 2016).

    Raises:
        ModelError: the lengths differ.
    """
    return 1.0 - float(right(student_answers_N, teacher_answers_N).mean())


def recall_per_class(answers_N: NDArray[np.int64], labels_N: NDArray[np.int64], classes: int) -> list[float]:
    """Return the share of each class's examples that are recognised; NaN for a class without examples."""
    counts_K = np.bincount(labels_N, minlength=classes)
    found_K = np.bincount(labels_N[right(answers_N, labels_N)], minlength=classes)
    return [float(found / count) if count else float("nan") for found, count in zip(found_K, counts_K, strict=True)]
