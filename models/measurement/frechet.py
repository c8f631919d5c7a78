"""Frechet distance between two sets of features, each taken as normal (Heusel 2017, arXiv:1706.08500).

The distance depends on the number of examples: fewer give a larger one. Compare only distances of equally many.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
RESAMPLES = 200
LEAST_SHARE = 0.1
"""Least distance of a resample, as a share of the measured one, so that no ratio is negative."""


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

    A resample repeats pictures, and repeated pictures are farther from real ones. So the distances of all resamples
    are moved by one number, to have the measured distance as their mean.

    Args:
        baseline_NF: features of the first model's pictures.
        candidate_NF: features of the second model's pictures, of the same prompts.
        real_MF: features of real pictures.
        groups_N: prompt of each picture. The interval resamples prompts, the same ones of both models.
        confidence: two-sided.
    """

    def distances(rows_N: NDArray[np.int64]) -> list[float]:
        return [frechet_distance(set_NF[rows_N], real_MF) for set_NF in (baseline_NF, candidate_NF)]

    measured_2 = np.array(distances(np.arange(len(groups_N))))
    resampled_R2 = np.array([distances(rows_N) for rows_N in _resamples(groups_N)])
    moved_R2 = resampled_R2 - resampled_R2.mean(0) + measured_2
    ratios_R = np.divide(*moved_R2.clip(LEAST_SHARE * measured_2).T)
    low, high = np.quantile(ratios_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"value": float(np.divide(*measured_2)), "interval": (float(low), float(high))}


def _resamples(groups_N: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of as many groups as there are, drawn with replacement."""
    generator, names = np.random.default_rng(0), np.unique(groups_N)
    rows = [np.flatnonzero(groups_N == name) for name in names]
    for _ in range(RESAMPLES):
        yield np.concatenate([rows[place] for place in generator.integers(0, len(rows), len(rows))])


def _root(covariance_FF: NDArray[np.float64]) -> NDArray[np.float64]:
    values_F, vectors_FF = np.linalg.eigh(covariance_FF)
    root_FF: NDArray[np.float64] = (vectors_FF * np.sqrt(values_F.clip(0))) @ vectors_FF.T
    return root_FF
