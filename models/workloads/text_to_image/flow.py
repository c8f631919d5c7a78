"""The sampler: it moves noise along a denoiser's velocity until it is a picture.

A state is one row of numbers: the picture with pixels from -1 to 1, the moment from 0 (noise) to 1 (picture), and the
condition, which is the text encoder's vector. A condition of zeros asks for any picture. Training and serving share
this module, so it computes with numpy only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Velocity = Callable[[Rows], Rows]
"""States (N, P + 1 + D) -> velocities (N, P)."""
DIMENSION = 64
"""Numbers of a condition."""
LEVELS = 127.5
"""Half the range of a raw pixel."""


@dataclass(frozen=True)
class Sampler:
    """How a denoiser is sampled."""

    steps: int
    guidance: float = 1.0
    """Factor on the difference between the velocities with and without condition. 1: no guidance."""
    solver: Literal["euler", "heun"] = "euler"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Sampler":
        """Read a sampler from a bundle or from a denoiser."""
        return cls(int(settings["steps"]), float(settings["guidance"]), settings["solver"])


def states_of(pixels_NP: Rows, moments_N: NDArray[np.float32] | float, conditions_ND: Rows) -> Rows:
    """Join pictures, moments and conditions to states (N, P + 1 + D)."""
    moments_N1 = np.broadcast_to(np.float32(moments_N), (len(pixels_NP),))[:, None]
    return np.concatenate([pixels_NP, moments_N1, conditions_ND], axis=1, dtype=np.float32)


def sample(velocity: Velocity, noise_NP: Rows, conditions_ND: Rows, sampler: Sampler) -> Rows:
    """Return pictures (N, P) with pixels near -1 to 1."""
    return list(path(velocity, noise_NP, conditions_ND, sampler))[-1]


def path(velocity: Velocity, noise_NP: Rows, conditions_ND: Rows, sampler: Sampler) -> Iterator[Rows]:
    """Yield what the noise has become (N, P) after each step.

    Heun's last step is one of Euler: at a finished picture the velocity no longer tells what noise there was, so that
    the mean with it would leave half of the last step's noise (Karras 2022, arXiv:2206.00364, algorithm 1).

    Args:
        velocity: the denoiser.
        noise_NP: normal noise.
        conditions_ND: the text encoder's vectors.
        sampler: the number of steps, the guidance and the solver.
    """
    pixels_NP, step = noise_NP, np.float32(1 / sampler.steps)
    for number in range(sampler.steps):
        moment = number / sampler.steps
        first_NP = _guided(velocity, pixels_NP, moment, conditions_ND, sampler.guidance)
        if sampler.solver == "heun" and number < sampler.steps - 1:
            ahead_NP = pixels_NP + step * first_NP
            then_NP = _guided(velocity, ahead_NP, moment + 1 / sampler.steps, conditions_ND, sampler.guidance)
            first_NP = np.float32(0.5) * (first_NP + then_NP)
        pixels_NP = pixels_NP + step * first_NP
        yield pixels_NP


def _guided(velocity: Velocity, pixels_NP: Rows, moment: float, conditions_ND: Rows, guidance: float) -> Rows:
    """Return the velocity (N, P) beyond that of any picture (classifier-free guidance, Ho 2022, arXiv:2207.12598)."""
    asked = states_of(pixels_NP, moment, conditions_ND)
    if guidance == 1:
        return velocity(asked)
    free = states_of(pixels_NP, moment, np.zeros_like(conditions_ND))
    with_NP, without_NP = np.split(velocity(np.concatenate([asked, free])), 2)
    guided_NP: Rows = without_NP + np.float32(guidance) * (with_NP - without_NP)
    return guided_NP


def noise_of(seeds: Sequence[int], pixels: int) -> Rows:
    """Return the noise (N, pixels) of each seed, the same on every machine."""
    return np.stack([np.random.default_rng(seed).standard_normal(pixels, np.float32) for seed in seeds])


def scaled(images_NCHW: NDArray[np.uint8]) -> Rows:
    """Map raw pictures to rows (N, P) with pixels from -1 to 1."""
    rows_NP: Rows = images_NCHW.reshape(len(images_NCHW), -1).astype(np.float32) / np.float32(LEVELS) - 1
    return rows_NP


def raw(pixels_NP: Rows) -> NDArray[np.uint8]:
    """Map rows (N, P) with pixels near -1 to 1 to raw pixels (N, P)."""
    return np.round((pixels_NP + 1) * LEVELS).clip(0, 255).astype(np.uint8)
