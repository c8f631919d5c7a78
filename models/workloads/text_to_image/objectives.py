"""Losses of a teacher: flow matching, and the classes of its judges. Loss of a smaller text encoder."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.training.loop import Batch, Objective
from stillhouse.models.workloads.text_to_image.flow import LEVELS
from stillhouse.models.workloads.text_to_image.parts import DENOISER, TEXT_ENCODER


class Generator(nn.Module):
    """All networks that a teacher's training trains together."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        """Keep the networks by name."""
        super().__init__()
        self.networks = nn.ModuleDict(networks)

    def __getitem__(self, name: str) -> nn.Module:
        """Return a network."""
        return self.networks[name]


SHORTEST = 0.05
"""Time left below which the error of a predicted picture counts no more (Li 2025, arXiv:2511.13720)."""


def flow_objective(judges: Sequence[str]) -> Objective:
    """Return the squared error of the velocity, plus the cross entropy of each judge on the real pictures.

    A denoiser that predicts the picture divides by the time left. Near the end, that would make its errors endless.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        networks = cast("Generator", model)
        images_BCHW, labels_B, codes_BL, noise_BP, moments_B1, asked_B1 = batch
        ends_BP = images_BCHW.flatten(1).float() / LEVELS - 1
        conditions_BD = networks[TEXT_ENCODER](codes_BL) * asked_B1
        pixels_BP = torch.lerp(noise_BP, ends_BP, moments_B1)
        velocity_BP = networks[DENOISER](torch.cat([pixels_BP, moments_B1, conditions_BD], dim=1))
        errors_BP = velocity_BP.float() - (ends_BP - noise_BP)
        if cast("Any", networks[DENOISER]).predicts == "picture":
            errors_BP = errors_BP * ((1 - moments_B1) / SHORTEST).clamp(max=1)
        loss: Tensor = errors_BP.square().mean()
        for name in judges:
            loss = loss + functional.cross_entropy(judged(networks[name], images_BCHW)[1].float(), labels_B)
        return loss

    return objective


def judged(judge: nn.Module, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (N, F) and logits (N, K) of raw pictures."""
    both = judge(images_NCHW)
    features = cast("Any", judge)[1].features
    return both[:, :features], both[:, features:]


def vector_objective() -> Objective:
    """Return 1 minus the cosine to the teacher's vectors."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        codes_BL, _, vectors_BD = batch
        cosines_B: Tensor = (model(codes_BL).float() * vectors_BD).sum(1)
        return 1 - cosines_B.mean()

    return objective
