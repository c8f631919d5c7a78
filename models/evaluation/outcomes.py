"""Input of the evaluation: the quality of each answer, and which examples belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.measurement.statistics import Groups, Weights


@dataclass(frozen=True)
class Scores:
    """Quality of a model's answers to some examples."""

    quality_N: NDArray[np.float64]
    """Quality of each example, at most 1. Higher is better."""
    groups_N: Groups | None
    """Group of each example, or None if the examples are independent.

    Examples of one group are not independent, so intervals resample groups.
    """
    weights_N: Weights | None = None
    """Weight of each example in the mean, such as its number of words. None gives equal weights."""

    @property
    def mean(self) -> float:
        """Return the mean quality; NaN without examples."""
        return self.mean_of(self.quality_N) if len(self.quality_N) else float("nan")

    def mean_of(self, values_N: NDArray[np.float64]) -> float:
        """Return the weighted mean of one value per example."""
        return float(values_N.mean() if self.weights_N is None else np.average(values_N, weights=self.weights_N))

    @property
    def are_counts(self) -> bool:
        """Tell whether the examples are independent and either right or wrong.

        Then the quality is a share of a count, and its interval has a closed form.
        """
        plain = self.groups_N is None and self.weights_N is None
        return plain and bool(np.isin(self.quality_N, (0.0, 1.0)).all())


@dataclass(frozen=True)
class Outcomes:
    """Results of a model on a whole split."""

    scores: Scores
    answers_Q: NDArray[Any]
    """Single answers, compared between two models for the churn. There may be more answers than examples."""
    slices: Mapping[str, Scores]
    """Class or language -> scores of its examples."""
