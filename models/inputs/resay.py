"""Views of recordings as another voice might have said them: faster or slower, brighter or duller, in noise, with gaps.

A language's recordings are mostly one voice; views are how a tower learns what does not matter.
"""

import torch
from torch import Tensor

from models.inputs.audio import SAMPLE_RATE

PACE = 0.15
"""Most logarithm of the pace; the pitch goes with it."""
DELAY = 0.2
"""Most seconds of silence before the first word."""
TILT = 0.4
"""Deviation of the share of the sample before that is taken away: above 0 brighter, below 0 duller."""
NOISE = 30.0
"""Typical deviation of the noise, of samples that reach 32,000."""
GAPS, GAP = 2, 0.15
"""Gaps of silence in a recording, and the seconds of the longest."""
RANGES, RANGE = 2, 0.25
"""Ranges of pitch that are hidden in a recording, and the share that the widest is of all."""


def said_anew(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Say every recording (N, T), samples of any number type, anew at random; returns floats."""
    waves_NT = _paced(waves_NT.float(), generator)
    tilt_N1 = TILT * torch.randn(len(waves_NT), 1, generator=generator)
    tilted_NT = waves_NT - tilt_N1 * torch.nn.functional.pad(waves_NT, (1, 0))[:, :-1]
    loud_N1 = NOISE * torch.randn(len(waves_NT), 1, generator=generator).exp()
    noise_NT = loud_N1 * torch.randn(waves_NT.shape, generator=generator)
    return _with_gaps(tilted_NT + noise_NT, generator).clamp(-32768, 32767)


def hidden_pitches(count: int, generator: torch.Generator) -> Tensor:
    """Choose ranges of pitch at random, as in SpecAugment (arXiv:1904.08779): ends (count, RANGES, 2) from 0 to 1."""
    wide_NR, first_NR = torch.rand(2, count, RANGES, generator=generator)
    starts_NR = first_NR * (1 - RANGE * wide_NR)
    return torch.stack([starts_NR, starts_NR + RANGE * wide_NR], 2)


def _paced(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Move and stretch in time, by linear interpolation."""
    count, length = waves_NT.shape
    pace_N1 = torch.exp(PACE * (2 * torch.rand(count, 1, generator=generator) - 1))
    delay_N1 = DELAY * SAMPLE_RATE * torch.rand(count, 1, generator=generator)
    at_NT = torch.arange(length) * pace_N1 - delay_N1
    before_NT = at_NT.floor().long()
    inside_NT = (before_NT >= 0) & (before_NT < length - 1)
    before_NT = before_NT.clamp(0, length - 2)
    share_NT = at_NT - before_NT
    first_NT, second_NT = waves_NT.gather(1, before_NT), waves_NT.gather(1, before_NT + 1)
    return (first_NT + share_NT * (second_NT - first_NT)) * inside_NT


def _with_gaps(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    count, length = waves_NT.shape
    time_T = torch.arange(length)
    for _ in range(GAPS):
        start_N1 = length * torch.rand(count, 1, generator=generator)
        end_N1 = start_N1 + GAP * SAMPLE_RATE * torch.rand(count, 1, generator=generator)
        waves_NT = waves_NT.masked_fill((time_T >= start_N1) & (time_T < end_N1), 0)
    return waves_NT
