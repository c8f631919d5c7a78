"""Written letters turned into frames as a speech encoder would hear them.

Letters are spread over frames with pauses. Some letters are missed and some are mistaken for others. With these frames,
the part of the encoder that reads letters can learn from every caption, including captions that nobody has recorded.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stillhouse.models.distillation.letters import NOTHING

SLOWEST = 3.0
"""Frames per letter, with the pause after it, in the slowest speech. The fastest speech has one frame per letter."""
MISSED, MISTAKEN = 0.1, 0.05
"""Share of letters that are not heard, and share of letters that are heard as another letter."""


def as_heard(letters_NL: Tensor, frames: int, known: int, generator: torch.Generator) -> Tensor:
    """Simulate how written letters (N, L) are heard.

    Args:
        letters_NL: letter numbers from 1, padded with 0. Letters that do not fit are cut off.
        frames: number of frames of a recording.
        known: number of letters in the alphabet.
        generator: source of all randomness.

    Returns:
        (N, 2, frames): the letter of each frame (0 for none), then the confidence in it.
    """
    frames_NF = _spread(letters_NL[:, :frames], frames, generator)
    fate_NF = torch.rand(frames_NF.shape, generator=generator)
    others_NF = torch.randint(1, known + 1, frames_NF.shape, generator=generator)
    frames_NF = torch.where((fate_NF < MISTAKEN) & (frames_NF != NOTHING), others_NF, frames_NF)
    heard_NF = frames_NF.masked_fill((fate_NF >= MISTAKEN) & (fate_NF < MISTAKEN + MISSED), NOTHING)
    return torch.stack([heard_NF, torch.rand(frames_NF.shape, generator=generator) ** (1 / 3)], dim=1)


def chances_of(heard_N2F: Tensor, letters: int) -> Tensor:
    """Convert heard letters to probabilities (N, frames, letters). The rest of 1 goes to "no letter"."""
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
