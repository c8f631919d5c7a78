"""Losses of a recogniser on the letters of each frame: CTC on transcripts, and a teacher's letters.

Connectionist temporal classification (Graves 2006) aligns the letters of a transcript with the frames by itself.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.distillation.letters import NOTHING
from stillhouse.models.training.loop import Batch, Objective

NEAR = 1
"""Frames before and after a spoken frame that the student also learns (symmetric blank selection, arXiv:2506.01503)."""
SPOKEN = 0.02
"""Least probability of any letter at which the teacher speaks in a frame."""


def ctc_loss(logits_NFV: Tensor, letters_NL: Tensor) -> Tensor:
    """Return the loss per letter, a scalar. A transcript with more letters than frames counts as 0.

    Args:
        logits_NFV: logits of every letter in every frame. The blank is the first letter.
        letters_NL: letter numbers from 1, padded with 0.
    """
    logs_FNV = logits_NFV.float().log_softmax(2).transpose(0, 1)
    lengths_N = (letters_NL != NOTHING).sum(1)
    frames_N = torch.full_like(lengths_N, len(logs_FNV))
    total = functional.ctc_loss(logs_FNV, letters_NL, frames_N, lengths_N, NOTHING, "sum", zero_infinity=True)
    return total / lengths_N.sum().clamp(min=1)


def transcript_objective() -> Objective:
    """Return the CTC loss on inputs and letters_BL."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        inputs, letters_BL = batch
        return ctc_loss(model(inputs), letters_BL)

    return objective


def spoken_frames(chances_NFV: Tensor) -> Tensor:
    """Choose the frames (N, F), true or false, in which a teacher speaks, and `NEAR` frames around each one.

    Most frames are blank, and say little. Those beside a letter say when it begins and ends.
    """
    speaks_NF = 1 - chances_NFV[:, :, NOTHING] > SPOKEN
    return functional.max_pool1d(speaks_NF.float(), 2 * NEAR + 1, stride=1, padding=NEAR) > 0


def frame_loss(logits_NFV: Tensor, teacher_NFV: Tensor, temperature: float) -> Tensor:
    """Return the KL divergence from the teacher's letters, a mean over the spoken frames, plus that over all frames.

    Args:
        logits_NFV: the student's logits.
        teacher_NFV: the teacher's logits.
        temperature: softens both.
    """
    teacher_logs_NFV = (teacher_NFV.float() / temperature).log_softmax(2)
    logs_NFV = (logits_NFV.float() / temperature).log_softmax(2)
    differ_NF = functional.kl_div(logs_NFV, teacher_logs_NFV, reduction="none", log_target=True).sum(2)
    spoken_NF = spoken_frames(teacher_logs_NFV.exp())
    return temperature**2 * (differ_NF[spoken_NF].sum() / spoken_NF.sum().clamp(min=1) + differ_NF.mean())


def frame_objective(temperature: float, hard_weight: float) -> Objective:
    """Return `hard_weight * L_student + (1 - hard_weight) * L_distillation`, on inputs, letters_BL and teacher_BFV."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        inputs, letters_BL, teacher_BFV = batch
        logits_BFV = model(inputs)
        taught = frame_loss(logits_BFV, at_rate(teacher_BFV, logits_BFV.shape[1]), temperature)
        told = ctc_loss(logits_BFV, letters_BL) if hard_weight else 0.0
        return (1 - hard_weight) * taught + hard_weight * told

    return objective


def at_rate(teacher_BFV: Tensor, frames: int) -> Tensor:
    """Return the teacher's answers at another number of frames: those that are nearest in time."""
    count = teacher_BFV.shape[1]
    if count == frames:
        return teacher_BFV
    return teacher_BFV[:, ((torch.arange(frames) + 0.5) * count / frames).long()]
