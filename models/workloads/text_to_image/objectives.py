"""Losses of a teacher: flow matching, and the classes of its judges. Loss of a smaller text encoder."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.training.loop import Batch, Objective
from stillhouse.models.workloads.text_to_image.flow import DIMENSION, LEVELS
from stillhouse.models.workloads.text_to_image.parts import DENOISER, TEXT_ENCODER


class Generator(nn.Module):
    """All networks that a teacher's training trains together."""

    def __init__(self, networks: dict[str, nn.Module], answers: int = 0) -> None:
        """Keep the networks by name.

        Args:
            networks: those of the teacher.
            answers: classes and styles that prompts name, if the text encoder is to learn them. 0: it is not.
        """
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.reader = nn.Linear(DIMENSION, answers) if answers else None
        """Says what a prompt's vector asks for. Only the training needs it."""

    def __getitem__(self, name: str) -> nn.Module:
        """Return a network."""
        return self.networks[name]


SHORTEST = 0.05
"""Time left below which the error of a predicted picture counts no more (Li 2025, arXiv:2511.13720)."""


SHARPNESS = 20.0
"""Factor of the answers to vectors of length 1."""


def flow_objective(judges: Sequence[str], styles: int = 1) -> Objective:
    """Return the squared error of the velocity, plus the cross entropy of each judge on the real pictures.

    A denoiser that predicts the picture divides by the time left. Near the end, that would make its errors endless.
    With a reader, the class and the style that it reads in the vector of a prompt are learned beside. Else the text
    encoder learns the training's wordings by heart, because each of them has thousands of steps to do so.

    Args:
        judges: names of the judges.
        styles: number of styles. A key is a class times this number, plus a style.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        networks = cast("Generator", model)
        images_BCHW, keys_B, codes_BL, noise_BP, moments_B1, asked_B1 = batch
        ends_BP = images_BCHW.flatten(1).float() / LEVELS - 1
        vectors_BD = networks[TEXT_ENCODER](codes_BL)
        conditions_BD = vectors_BD * asked_B1
        pixels_BP = torch.lerp(noise_BP, ends_BP, moments_B1)
        velocity_BP = networks[DENOISER](torch.cat([pixels_BP, moments_B1, conditions_BD], dim=1))
        errors_BP = velocity_BP.float() - (ends_BP - noise_BP)
        if cast("Any", networks[DENOISER]).predicts == "picture":
            errors_BP = errors_BP * ((1 - moments_B1) / SHORTEST).clamp(max=1)
        loss: Tensor = errors_BP.square().mean()
        for name in judges:
            loss = loss + functional.cross_entropy(judged(networks[name], images_BCHW)[1].float(), keys_B // styles)
        return loss if networks.reader is None else loss + _misread(networks.reader(vectors_BD), keys_B, styles)

    return objective


def _misread(answers_BK: Tensor, keys_B: Tensor, styles: int) -> Tensor:
    """Return the cross entropy of the classes plus that of the styles, which are the last answers."""
    logits_BK = SHARPNESS * answers_BK.float()
    of_class = functional.cross_entropy(logits_BK[:, :-styles], keys_B // styles)
    return of_class + functional.cross_entropy(logits_BK[:, -styles:], keys_B % styles)


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
