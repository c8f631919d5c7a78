"""CTC loss: a speech encoder also learns which letters it hears in each frame.

There are few recordings of each caption, so whole recordings teach little. Letters show what different recordings have
in common. Connectionist temporal classification (Graves 2006) aligns the letters with the frames by itself.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stillhouse.models.augmentation.misheard import chances_of
from stillhouse.models.distillation.letters import NOTHING
from stillhouse.models.networks.speech import CtcEncoder
from stillhouse.models.training.ready import ready


def spelling_loss(logits_NFV: Tensor, letters_NL: Tensor) -> Tensor:
    """Return the mean loss per letter, a scalar, over the recordings with known letters; 0 if there are none.

    Args:
        logits_NFV: logits of every letter in every frame. The blank is the first letter.
        letters_NL: letter numbers from 1, padded with 0. A row of zeros means that the letters are unknown.
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
    """Return the teacher's letter probabilities (N, frames, letters) for recordings, in float16."""
    teacher.eval()
    return torch.cat([teacher.spell(ready(batch)).softmax(2).half() for batch in samples_NT.split(batch_size)])


@torch.no_grad()
def teacher_readings(teacher: CtcEncoder, heard_N2F: Tensor, batch_size: int = 500) -> Tensor:
    """Return the teacher's vectors (N, D) for written letters, given in the form of heard letters."""
    teacher.eval()
    return torch.cat([teacher.read(chances_of(batch, teacher.letters)) for batch in heard_N2F.split(batch_size)])
