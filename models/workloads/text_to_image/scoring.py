"""Score a generator during its training: the share of pictures in which a judge sees what the prompt asked for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.text import codes_of
from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.text_to_image.flow import Sampler, noise_of, raw, sample
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.objectives import judged
from stillhouse.models.workloads.text_to_image.parts import DENOISER, PROMPT_JUDGE, TEXT_ENCODER
from stillhouse.models.workloads.text_to_image.prompts import load_prompts

SCORED = 200
"""Pictures that score a training."""
AT_ONCE = 256
FLAT = 0.02
"""Least standard deviation over the pictures, as a mean over the pixels, of a training that has not collapsed."""


def pixels_in(data: Path) -> int:
    """Count the numbers of one picture."""
    return int(np.prod(describe(data)["image_shape"]))


@torch.no_grad()
def vectors_of(encoder: nn.Module, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the vectors (N, D) of prompts."""
    encoder.eval()
    return cast("NDArray[np.float32]", encoder(torch.from_numpy(codes_of(texts))).numpy())


def velocity_of(module: nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a denoiser as a function of numpy arrays."""
    module.eval()

    @torch.no_grad()
    def velocity(states_NK: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = torch.from_numpy(states_NK).split(AT_ONCE)
        return cast("NDArray[np.float32]", torch.cat([module(part) for part in parts]).float().numpy())

    return velocity


def sampler_of(module: nn.Module) -> Sampler:
    """Return the sampler of a denoiser."""
    return Sampler.of(cast("Any", module).sampler)


def scorer(data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
    """Return a function that measures the share of pictures in which the prompt judge sees what was asked for."""
    prompts, described = load_prompts(data, split), describe(data)
    places_N = prompts.spread(SCORED, np.random.default_rng(0))
    noise_NP = noise_of(list(range(SCORED)), pixels_in(data))

    def score(networks: Mapping[str, nn.Module]) -> float:
        vectors_ND = vectors_of(networks[TEXT_ENCODER], prompts.texts)[places_N]
        denoiser = networks[DENOISER]
        pixels_NP = sample(velocity_of(denoiser), noise_NP, vectors_ND, sampler_of(denoiser))
        expect_variety(pixels_NP)
        images_NCHW = torch.from_numpy(raw(pixels_NP).reshape(-1, *described["image_shape"]))
        judge = networks[PROMPT_JUDGE].eval()
        with torch.no_grad():
            return float(shown(judged(judge, images_NCHW)[1].numpy(), prompts.labels_N[places_N]).mean())

    return score


def expect_variety(pixels_NP: NDArray[np.float32]) -> None:
    """Refuse pictures of a training that went wrong.

    Raises:
        ModelError: a pixel is not finite, or all pictures are the same.
    """
    if not np.isfinite(pixels_NP).all():
        msg = "the denoiser makes pictures with NaN or infinity; lower the learning rate or train in fp32"
        raise ModelError(msg)
    spread = float(pixels_NP.std(0).mean())
    if spread < FLAT:
        msg = f"the denoiser makes the same picture of everything (spread {spread:.3f}); lower the learning rate"
        raise ModelError(msg)
