"""Augmentations of recordings: pace, delay, brightness, noise, gaps.

In one language, most recordings are by one voice. Augmentations teach the encoder which differences do not matter.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stillhouse.models.data.sound.audio import SAMPLE_RATE

PACE = 0.15
"""Largest absolute logarithm of the pace. The pitch changes with the pace."""
DELAY = 0.2
"""Longest silence before the first word, in seconds."""
TILT = 0.4
"""Standard deviation of the filter coefficient.

The filter subtracts this share of the previous sample. Above 0 the sound is brighter, below 0 it is duller.
"""
NOISE = 30.0
"""Typical standard deviation of the noise, for samples that reach 32,000."""
GAPS, GAP = 2, 0.15
"""Number of silent gaps in a recording, and the longest gap in seconds."""


def augment_speech(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Augment every recording (N, T), samples of any number type, at random. Returns floats."""
    waves_NT = _change_pace(waves_NT.float(), generator)
    tilt_N1 = TILT * torch.randn(len(waves_NT), 1, generator=generator).to(waves_NT.device)
    tilted_NT = waves_NT - tilt_N1 * functional.pad(waves_NT, (1, 0))[:, :-1]
    loud_N1 = NOISE * torch.randn(len(waves_NT), 1, generator=generator).exp()
    noise_NT = (loud_N1 * torch.randn(waves_NT.shape, generator=generator)).to(waves_NT.device)
    return _with_gaps(tilted_NT.add_(noise_NT), generator).clamp_(-32768, 32767)


def _change_pace(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Shift and stretch in time, by linear interpolation."""
    count, length = waves_NT.shape
    pace_N1 = torch.exp(PACE * (2 * torch.rand(count, 1, generator=generator) - 1))
    delay_N1 = DELAY * SAMPLE_RATE * torch.rand(count, 1, generator=generator)
    across_NT = (torch.arange(length) * pace_N1 - delay_N1) * (2 / (length - 1)) - 1
    places_N1T2 = torch.stack([across_NT, torch.zeros_like(across_NT)], 2)[:, None].to(waves_NT.device)
    return functional.grid_sample(waves_NT[:, None, None], places_N1T2, align_corners=True)[:, 0, 0]


def _with_gaps(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Silence a few moments of every waveform, in place."""
    count, length = waves_NT.shape
    for _ in range(GAPS):
        starts_N = (length * torch.rand(count, generator=generator)).long().tolist()
        lengths_N = (GAP * SAMPLE_RATE * torch.rand(count, generator=generator)).long().tolist()
        for wave_T, start, samples in zip(waves_NT, starts_N, lengths_N, strict=True):
            wave_T[start : start + samples] = 0
    return waves_NT
