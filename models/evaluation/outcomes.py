"""What evaluation needs to know of a model's answers: how good each is, and which belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.measurement.statistics import Groups, Weights


@dataclass(frozen=True)
class Scores:
    """How good a model's answers to some examples are."""

    quality_N: NDArray[np.float64]
    """Of every example, at most 1; more is better."""
    groups_N: Groups | None
    """Group of every example. Those of one group are not independent, so intervals resample groups; None: they are."""
    weights_N: Weights | None = None
    """Weight of every example in the mean, such as its number of words; None: all weigh the same."""

    @property
    def mean(self) -> float:
        """Quality of all; NaN if there is no example."""
        return self.mean_of(self.quality_N) if len(self.quality_N) else float("nan")

    def mean_of(self, values_N: NDArray[np.float64]) -> float:
        """Mean of a value of every example, by weight."""
        return float(values_N.mean() if self.weights_N is None else np.average(values_N, weights=self.weights_N))

    @property
    def are_counts(self) -> bool:
        """Each example is independent, and right or wrong: a share of a count, whose interval has a closed form."""
        plain = self.groups_N is None and self.weights_N is None
        return plain and bool(np.isin(self.quality_N, (0.0, 1.0)).all())


@dataclass(frozen=True)
class Outcomes:
    """What a model made of a whole split."""

    scores: Scores
    answers_Q: NDArray[Any]
    """What was answered, one by one: two models differ where these do. There may be more of them than examples."""
    slices: Mapping[str, Scores]
    """Class or language -> the scores of what belongs to it."""
