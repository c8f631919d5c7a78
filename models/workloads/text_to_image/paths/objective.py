"""Loss of a denoiser of few steps: how far its pictures are from the ends of the teacher's paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.training.loop import Batch, Objective
from stillhouse.models.workloads.text_to_image.flow import LEVELS
from stillhouse.models.workloads.text_to_image.paths.gap import Gap

EARLIER = 0.25
"""Weight of each step of a student before the last one, whose weight is 1."""
AT_ONCE = 512


@dataclass(frozen=True)
class Critic:
    """A classifier of raw pictures, which judges nothing else. Its maps tell what pixels do not."""

    network: nn.Module
    image_shape: Sequence[int]
    """Channels, height and width."""

    def __post_init__(self) -> None:
        """Keep it from learning."""
        self.network.eval().requires_grad_(requires_grad=False)

    def maps(self, pixels_BP: Tensor) -> list[Tensor]:
        """Return the output (B, C, H, W) of each of its convolutions."""
        scale, network = cast("Any", self.network.to(pixels_BP.device))
        levels_BCHW = (pixels_BP.unflatten(1, tuple(self.image_shape)) + 1) * LEVELS
        return cast("list[Tensor]", network.maps(scale(levels_BCHW)))

    @torch.no_grad()
    def gap_to(self, real_NP: Tensor) -> Gap:
        """Return the gap to real pictures, with pixels from -1 to 1."""
        parts = [features_of(self.maps(part_BP)) for part_BP in real_NP.split(AT_ONCE)]
        return Gap([torch.cat(each) for each in zip(*parts, strict=True)])


def features_of(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the mean (B, C) of each map over its places."""
    return [map_BCHW.float().mean((2, 3)) for map_BCHW in maps]


@dataclass(frozen=True)
class EndLoss:
    """Distance of a picture from the end of a path: of the pixels, of the critic's maps, and of all pictures together.

    The maps' error is that of Johnson 2016, arXiv:1603.08155.
    """

    critic: Critic
    critic_weight: float
    gap: Gap | None = None
    gap_weight: float = 0.0

    def of(self, guessed_BP: Tensor, ends_BP: Tensor, *, last: bool) -> Tensor:
        """Return the loss of guessed pictures, a scalar. Only those of the last step are seen together."""
        apart = functional.mse_loss(guessed_BP, ends_BP)
        if not self.critic_weight and self.gap is None:
            return apart
        with torch.no_grad():
            wanted = self.critic.maps(ends_BP)
        maps = self.critic.maps(guessed_BP)
        errors = [functional.mse_loss(a, b) for a, b in zip(maps, wanted, strict=True)]
        loss = apart + self.critic_weight * torch.stack(errors).mean()
        if self.gap is not None and last:
            loss = loss + self.gap_weight * self.gap.loss(features_of(maps))
        return loss


def end_objective(loss: EndLoss) -> Objective:
    """Return the loss of a sampler of few Euler steps: how far they point from the end of the teacher's path.

    The steps are those of the sampler itself: each begins where the student's own step before it ended, and learns to
    end where the next one needs it. The last step counts most, because only its picture is seen.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        noise_BP, conditions_BD, ends_BP, number = batch
        if loss.gap is not None and not number:
            loss.gap.restart()  # so that a training that goes on after a kill has the same losses
        steps: int = cast("Any", model).sampler["steps"]
        pixels_BP = noise_BP
        losses: list[Tensor] = []
        for step in range(steps):
            moment = step / steps
            moments_B1 = pixels_BP.new_full((len(pixels_BP), 1), moment)
            velocity_BP: Tensor = model(torch.cat([pixels_BP, moments_B1, conditions_BD], dim=1)).float()
            losses.append(loss.of(pixels_BP + (1 - moment) * velocity_BP, ends_BP, last=step == steps - 1))
            pixels_BP = pixels_BP + velocity_BP / steps
        *earlier, last = losses
        return (last + EARLIER * sum(earlier)) / (1 + EARLIER * len(earlier))

    return objective
