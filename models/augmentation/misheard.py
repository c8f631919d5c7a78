"""Written letters as an encoder hears them: spread over frames, with pauses, and now and then missed or mistaken.

So an encoder that reads the letters it hears learns from every caption, not only from those that somebody has spoken.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stillhouse.models.data.letters import NOTHING

SLOWEST = 3.0
"""Frames of a letter, with the pause after it, where a word is said slowest; where fastest, one."""
MISSED, MISTAKEN = 0.1, 0.05
"""Shares of letters that are not heard, and that are heard as another."""


def as_heard(letters_NL: Tensor, frames: int, known: int, generator: torch.Generator) -> Tensor:
    """Say written letters (N, L) at random; returns letters, or 0 for none, then how sure they are (N, 2, frames).

    Args:
        letters_NL: numbers from 1, filled up with 0; those that do not fit are cut off.
        frames: of a recording.
        known: letters that there are.
        generator: of all that is random.
    """
    frames_NF = _spread(letters_NL[:, :frames], frames, generator)
    fate_NF = torch.rand(frames_NF.shape, generator=generator)
    others_NF = torch.randint(1, known + 1, frames_NF.shape, generator=generator)
    frames_NF = torch.where((fate_NF < MISTAKEN) & (frames_NF != NOTHING), others_NF, frames_NF)
    heard_NF = frames_NF.masked_fill((fate_NF >= MISTAKEN) & (fate_NF < MISTAKEN + MISSED), NOTHING)
    return torch.stack([heard_NF, torch.rand(frames_NF.shape, generator=generator) ** (1 / 3)], dim=1)


def chances_of(heard_N2F: Tensor, letters: int) -> Tensor:
    """Give a letter the chance (N, frames, letters) of how sure it is, and what is left of 1 to no letter."""
    letters_NF, sure_NF1 = heard_N2F[:, 0].long(), heard_N2F[:, 1, :, None]
    nothing_V = functional.one_hot(letters_NF.new_tensor(NOTHING), letters)
    return sure_NF1 * functional.one_hot(letters_NF, letters) + (1 - sure_NF1) * nothing_V


def _spread(letters_NL: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Give each letter a frame of its own, in order, within a random stretch of the frames."""
    count = len(letters_NL)
    lengths_N1 = (letters_NL != NOTHING).sum(1, keepdim=True)
    pace_N1 = 1 + (SLOWEST - 1) * torch.rand(count, 1, generator=generator)
    stretch_N1 = (lengths_N1 * pace_N1).long().clamp(max=frames)
    first_N1 = ((frames - stretch_N1 + 1) * torch.rand(count, 1, generator=generator)).long()
    frame_F = torch.arange(frames)
    outside_NF = (frame_F < first_N1) | (frame_F >= first_N1 + stretch_N1)
    chance_NF = torch.rand(count, frames, generator=generator).masked_fill(outside_NF, 2)
    taken_NF = chance_NF.argsort(1).argsort(1) < lengths_N1
    which_NF = (taken_NF.cumsum(1) - 1).clamp(min=0)
    return letters_NL.gather(1, which_NF) * taken_NF
