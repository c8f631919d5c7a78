"""Losses of a teacher: flow matching, and the classes of its judges. Loss of a student: the end of the solved path."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.training.loop import Batch, Objective
from stillhouse.models.workloads.text_to_image.flow import LEVELS
from stillhouse.models.workloads.text_to_image.parts import DENOISER, TEXT_ENCODER

EARLIER = 0.25
"""Weight of each step of a student before the last one, whose weight is 1."""


class Generator(nn.Module):
    """All networks that a teacher's training trains together."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        """Keep the networks by name."""
        super().__init__()
        self.networks = nn.ModuleDict(networks)

    def __getitem__(self, name: str) -> nn.Module:
        """Return a network."""
        return self.networks[name]


def flow_objective(judges: Sequence[str]) -> Objective:
    """Return the squared error of the velocity, plus the cross entropy of each judge on the real pictures."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        networks = cast("Generator", model)
        images_BCHW, labels_B, codes_BL, noise_BP, moments_B1, asked_B1 = batch
        ends_BP = images_BCHW.flatten(1).float() / LEVELS - 1
        conditions_BD = networks[TEXT_ENCODER](codes_BL) * asked_B1
        pixels_BP = torch.lerp(noise_BP, ends_BP, moments_B1)
        velocity_BP = networks[DENOISER](torch.cat([pixels_BP, moments_B1, conditions_BD], dim=1))
        loss = functional.mse_loss(velocity_BP.float(), ends_BP - noise_BP)
        for name in judges:
            loss = loss + functional.cross_entropy(judged(networks[name], images_BCHW)[1].float(), labels_B)
        return loss

    return objective


def judged(judge: nn.Module, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (N, F) and logits (N, K) of raw pictures."""
    both = judge(images_NCHW)
    features = cast("Any", judge)[1].features
    return both[:, :features], both[:, features:]


def end_objective(critic: nn.Module, critic_weight: float, image_shape: Sequence[int]) -> Objective:
    """Return the loss of a sampler of few Euler steps: how far they point from the end of the teacher's path.

    The steps are those of the sampler itself: each begins where the student's own step before it ended, and learns to
    end where the next one needs it. The last step counts most, because only its picture is seen. The distance is the
    squared error of pixels, plus that of the critic's maps (Johnson 2016, arXiv:1603.08155).

    Args:
        critic: a classifier of raw pictures, which judges nothing else.
        critic_weight: weight of the error of its maps.
        image_shape: channels, height and width.
    """
    critic.eval().requires_grad_(requires_grad=False)

    def maps(pixels_BP: Tensor) -> list[Tensor]:
        scale, network = cast("Any", critic)
        return cast("list[Tensor]", network.maps(scale((pixels_BP.unflatten(1, tuple(image_shape)) + 1) * LEVELS)))

    def distance(guessed_BP: Tensor, ends_BP: Tensor) -> Tensor:
        apart = functional.mse_loss(guessed_BP, ends_BP)
        if not critic_weight:
            return apart
        with torch.no_grad():
            wanted = maps(ends_BP)
        errors = [functional.mse_loss(a, b) for a, b in zip(maps(guessed_BP), wanted, strict=True)]
        return apart + critic_weight * torch.stack(errors).mean()

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        noise_BP, conditions_BD, ends_BP = batch
        steps: int = cast("Any", model).sampler["steps"]
        pixels_BP = noise_BP
        losses: list[Tensor] = []
        for number in range(steps):
            moment = number / steps
            moments_B1 = pixels_BP.new_full((len(pixels_BP), 1), moment)
            velocity_BP: Tensor = model(torch.cat([pixels_BP, moments_B1, conditions_BD], dim=1)).float()
            losses.append(distance(pixels_BP + (1 - moment) * velocity_BP, ends_BP))
            pixels_BP = pixels_BP + velocity_BP / steps
        *earlier, last = losses
        return (last + EARLIER * sum(earlier)) / (1 + EARLIER * len(earlier))

    return objective


def vector_objective() -> Objective:
    """Return 1 minus the cosine to the teacher's vectors."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        codes_BL, _, vectors_BD = batch
        cosines_B: Tensor = (model(codes_BL).float() * vectors_BD).sum(1)
        return 1 - cosines_B.mean()

    return objective
