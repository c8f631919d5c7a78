"""Frechet distance between two sets of features, each taken as normal (Heusel 2017, arXiv:1706.08500).

The distance depends on the number of examples: fewer give a larger one. Compare only distances of equally many.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
RESAMPLES = 200


def frechet_distance(features_NF: Features, real_MF: Features) -> float:
    """Return the squared distance of the means plus that of the covariances.

    Args:
        features_NF: features of one set.
        real_MF: features of the other set.
    """
    one, other = (set_NF.astype(np.float64) for set_NF in (features_NF, real_MF))
    between_F = one.mean(0) - other.mean(0)
    covariance_FF, real_FF = (np.cov(set_NF, rowvar=False) for set_NF in (one, other))
    root_FF = _root(real_FF)
    product = np.linalg.eigvalsh(root_FF @ covariance_FF @ root_FF).clip(0)
    return float(between_F @ between_F + np.trace(covariance_FF) + np.trace(real_FF) - 2 * np.sqrt(product).sum())


def compare_distances(
    baseline_NF: Features, candidate_NF: Features, real_MF: Features, groups_N: NDArray[np.int64], confidence: float
) -> dict[str, object]:
    """Return the baseline's distance / the candidate's, with an interval. Above 1, the candidate is nearer to the real.

    Args:
        baseline_NF: features of the first model's pictures.
        candidate_NF: features of the second model's pictures, of the same prompts.
        real_MF: features of real pictures.
        groups_N: prompt of each picture. The interval resamples prompts, the same ones of both models.
        confidence: two-sided.
    """

    def ratio(rows_N: NDArray[np.int64]) -> float:
        return frechet_distance(baseline_NF[rows_N], real_MF) / frechet_distance(candidate_NF[rows_N], real_MF)

    low, high = _bootstrap(ratio, groups_N, confidence)
    return {"value": ratio(np.arange(len(groups_N))), "interval": (low, high)}


def _bootstrap(
    value: Callable[[NDArray[np.int64]], float], groups_N: NDArray[np.int64], confidence: float
) -> tuple[float, float]:
    generator, names = np.random.default_rng(0), np.unique(groups_N)
    rows = [np.flatnonzero(groups_N == name) for name in names]
    found = [
        value(np.concatenate([rows[place] for place in generator.integers(0, len(rows), len(rows))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _root(covariance_FF: NDArray[np.float64]) -> NDArray[np.float64]:
    values_F, vectors_FF = np.linalg.eigh(covariance_FF)
    root_FF: NDArray[np.float64] = (vectors_FF * np.sqrt(values_F.clip(0))) @ vectors_FF.T
    return root_FF
