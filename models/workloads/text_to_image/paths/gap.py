"""Gap between a student's pictures and real ones, as a whole: the Frechet distance of a critic's features, as a loss.

An error of pairs is least where a small network blurs what it cannot tell. Real pictures are not blurred, so the
distance of means and covariances sees it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

KEPT = 0.95
"""Share of the mean and of the covariance that stays at each batch, once there are twenty."""
LEAST = 0.1
"""Distance below which the loss no longer grows steeper."""
ENOUGH = 2
"""Pictures for each feature from which on the covariance is used."""
TINY = 1e-6


class Gap:
    """Running mean and covariance of a student's features, and the loss that moves them to those of real pictures.

    A batch is too small for a distance. So the mean and the covariance run along, and the loss of a batch has the
    gradient of the distance's logarithm there. Its value is the distance.
    """

    def __init__(self, real: Sequence[Tensor]) -> None:
        """Keep the mean and the covariance of real pictures' features.

        Args:
            real: the features (N, C) of each of the critic's maps. All maps count the same.
        """
        self.scales = [float(each_NC.var(0).sum().sqrt()) + TINY for each_NC in real]
        real_NF = self._join(real).double()
        self.real_F, self.real_FF = real_NF.mean(0), torch.cov(real_NF.T)
        values_F, vectors_FF = _decompose(self.real_FF)
        self.root_FF = (vectors_FF * values_F.sqrt()) @ vectors_FF.T
        self.restart()

    def restart(self) -> None:
        """Forget the student's features."""
        self.batches = 0
        self.mean_F, self.square_FF = torch.zeros_like(self.real_F), torch.zeros_like(self.real_FF)

    def _join(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.cat([each_NC / scale for each_NC, scale in zip(maps, self.scales, strict=True)], dim=1)

    def loss(self, maps: Sequence[Tensor]) -> Tensor:
        """Return a loss of a batch, a scalar, of its features (B, C) in each map. It is 0 until there are enough."""
        features_BF = self._join(maps).cpu()
        self._follow(features_BF.detach().double())
        if self.batches * len(features_BF) < ENOUGH * len(self.real_F):
            return 0 * features_BF.sum()
        covariance_FF = self.square_FF - torch.outer(self.mean_F, self.mean_F)
        values_F, vectors_FF = _decompose(self.root_FF @ covariance_FF @ self.root_FF)
        away_F = self.mean_F - self.real_F
        distance = away_F @ away_F + (covariance_FF + self.real_FF).trace() - 2 * values_F.sqrt().sum()
        turned_FF = self.root_FF @ vectors_FF
        slope_FF = torch.eye(len(away_F)) - (turned_FF / values_F.sqrt()) @ turned_FF.T
        centred_BF = features_BF - self.mean_F.float()
        loss_B = 2 * centred_BF @ away_F.float() + (centred_BF @ slope_FF.float() * centred_BF).sum(1)
        steep = loss_B.mean() / float(distance.clamp(min=LEAST))
        return steep - steep.detach() + distance.float()

    def _follow(self, features_BF: Tensor) -> None:
        self.batches += 1
        share = max(1 / self.batches, 1 - KEPT)
        self.mean_F = torch.lerp(self.mean_F, features_BF.mean(0), share)
        self.square_FF = torch.lerp(self.square_FF, features_BF.T @ features_BF / len(features_BF), share)


def _decompose(symmetric_FF: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (F) and eigenvectors (F, F) of a covariance. Values that are nearly zero count as more."""
    values_F, vectors_FF = torch.linalg.eigh(symmetric_FF)
    return values_F.clamp(min=TINY * (TINY + float(values_F.max()))), vectors_FF
