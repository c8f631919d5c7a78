"""Spelling: beside its place in the space, a speech encoder learns from captions which letters it hears, by frame.

Few recordings say each thing, so whole recordings teach little; their letters say what is alike in different ones.
Connectionist temporal classification (Graves 2006) finds by itself where in the recording each letter is.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stillhouse.models.augmentation.misheard import chances_of
from stillhouse.models.data.letters import NOTHING
from stillhouse.models.networks.speech import CtcEncoder
from stillhouse.models.training.ready import ready


def spelling_loss(logits_NFV: Tensor, letters_NL: Tensor) -> Tensor:
    """Mean loss per letter, a scalar, over the recordings that have letters; 0 where none has.

    Args:
        logits_NFV: of every letter, the blank being the first, in every frame.
        letters_NL: numbers of letters from 1, filled up with 0; a row of 0 says that nothing is known.
    """
    lengths_N = (letters_NL != NOTHING).sum(1)
    known_N = lengths_N > 0
    if not known_N.any():
        return logits_NFV.sum() * 0
    logs_FNV = logits_NFV[known_N].transpose(0, 1).log_softmax(2)
    frames_N = lengths_N[known_N].new_full((int(known_N.sum()),), logs_FNV.shape[0])
    return functional.ctc_loss(
        logs_FNV, letters_NL[known_N], frames_N, lengths_N[known_N], blank=NOTHING, zero_infinity=True
    )


@torch.no_grad()
def teacher_letters(teacher: CtcEncoder, samples_NT: Tensor, batch_size: int = 500) -> Tensor:
    """Ask a teacher that spells about recordings; returns the chances (N, frames, letters) of its letters, float16."""
    teacher.eval()
    return torch.cat([teacher.spelled(ready(batch)).softmax(2).half() for batch in samples_NT.split(batch_size)])


@torch.no_grad()
def teacher_readings(teacher: CtcEncoder, heard_N2F: Tensor, batch_size: int = 500) -> Tensor:
    """Ask a teacher that spells to read letters as if it had heard them; returns its vectors (N, D)."""
    teacher.eval()
    return torch.cat([teacher.read(chances_of(batch, teacher.letters)) for batch in heard_N2F.split(batch_size)])
