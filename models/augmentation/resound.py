"""New views of clips: a little earlier or later, louder or quieter, with some noise, or with another clip behind."""

import torch
from torch import Tensor

LATEST = 0.1
"""Longest shift, as a share of the clip."""
LOUDER = 0.5
"""Largest change of the loudness's natural logarithm."""
NOISE = 0.02
"""Largest noise, as a share of the clip's standard deviation."""
LEAST, MOST = -32_768, 32_767


def resound(samples_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each clip (N, T) of 16-bit samples in time, change its loudness, and add noise. What is left is silent."""
    count, length = samples_NT.shape
    most = max(1, round(LATEST * length))
    starts_N1 = torch.randint(-most, most + 1, (count, 1), generator=generator)
    places_NT = (torch.arange(length) - starts_N1).to(samples_NT.device)
    inside_NT = (places_NT >= 0) & (places_NT < length)
    moved_NT = samples_NT.gather(1, places_NT.clamp(0, length - 1)).float() * inside_NT
    gains_N1 = torch.exp(LOUDER * (2 * torch.rand((count, 1), generator=generator) - 1)).to(samples_NT.device)
    levels_N1 = (
        NOISE * torch.rand((count, 1), generator=generator).to(samples_NT.device) * moved_NT.std(1, keepdim=True)
    )
    noise_NT = torch.randn(count, length, generator=generator).to(samples_NT.device)
    return _as_samples(gains_N1 * (moved_NT + levels_N1 * noise_NT))


def mix_clips(samples_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Put another clip behind each clip (N, T), with a share between 0 and 1/2."""
    partner_N = torch.randperm(len(samples_NT), generator=generator)
    share_N1 = 0.5 * torch.rand(len(samples_NT), 1, generator=generator).to(samples_NT.device)
    return _as_samples(torch.lerp(samples_NT.float(), samples_NT[partner_N].float(), share_N1))


def _as_samples(floats_NT: Tensor) -> Tensor:
    return floats_NT.round().clamp(LEAST, MOST).to(torch.int16)
