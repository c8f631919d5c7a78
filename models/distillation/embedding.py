"""What an encoder learns from its teacher's: to put things where it puts them, among what the others have put there.

The teacher's gallery, the other encoder's vectors of every concept, turns a vector into logits, so that every loss on
logits applies: `kl` is then distillation of the similarity distribution, which is relational, and the labels' loss is
contrastive against the gallery.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.augmentation.misheard import chances_of
from stillhouse.models.distillation.ctc import spelling_loss
from stillhouse.models.distillation.logit import distillation_loss
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.speech import CtcEncoder
from stillhouse.models.training.loop import Batch, Objective

SHARPNESS = 30.0
"""What cosines are multiplied by to become logits, when a student learns."""
ANCHORED_SHARPNESS = 20.0
"""The same when a teacher learns."""
SPELLING = 3.0
"""Weight of the letters beside the place: places of recordings are soon known by heart, letters are not."""


TowerObjective = Callable[[Callable[[Tensor], Tensor], Batch], Tensor]
"""An objective that asks no more of a model than to be called."""


def taught_vectors(
    gallery_KD: Tensor, loss: str, temperature: float, hard_weight: float, regression: float
) -> TowerObjective:
    """Distillation loss on (inputs, labels_B, teacher_vectors_BD), for a network that gives unit vectors.

    Args:
        gallery_KD: unit vectors of the teacher's other encoder, one per label.
        loss: a name of LOGIT_LOSSES.
        temperature: what softens both sides' logits.
        hard_weight: share of the labels' loss.
        regression: weight of one minus the cosine between student's and teacher's vector.
    """

    def objective(model: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        inputs, labels_B, teacher_BD = batch[:3]
        vectors_BD = model(inputs).float()
        logits_BK, teacher_BK = (SHARPNESS * each @ gallery_KD.T for each in (vectors_BD, teacher_BD))
        apart = 1 - functional.cosine_similarity(vectors_BD, teacher_BD).mean()
        return distillation_loss(logits_BK, teacher_BK, labels_B, temperature, hard_weight, loss) + regression * apart

    return objective


def taught_letters(taught: TowerObjective, weight: float) -> Objective:
    """Let an encoder that spells learn its teacher's letters, and read written captions as its teacher reads them.

    Its batches are those of a `TextInjectionBatches`.

    Args:
        taught: what is minimised on the vectors of recordings, and on those of captions.
        weight: of the KL divergence from the teacher's letters, the mean over all frames.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        if not isinstance(model, CtcEncoder):
            msg = "a lesson in letters is for a speech encoder: name speech_plain_encoder, or leave letters out"
            raise ModelError(msg)
        samples_BT, labels_B, teacher_BD, chances_BFV, written_W2F, labels_W, teacher_WD = batch
        spelled_BFV = model.spelled(samples_BT)
        _refuse_other_frames(spelled_BFV, chances_BFV)
        heard_BD, read_WD = _read(model, spelled_BFV, written_W2F)
        hearing = taught(lambda _: heard_BD, (samples_BT, labels_B, teacher_BD))
        reading = taught(lambda _: read_WD, (written_W2F, labels_W, teacher_WD))
        return hearing + reading + weight * _divergence(spelled_BFV, chances_BFV)

    return objective


def _refuse_other_frames(spelled_BFV: Tensor, chances_BFV: Tensor) -> None:
    if spelled_BFV.shape != chances_BFV.shape:
        (frames, letters), (wanted, known) = spelled_BFV.shape[1:], chances_BFV.shape[1:]
        msg = (
            f"the student spells {letters} letters in {frames} frames, its teacher {known} in {wanted}; "
            "choose the student's hop and stem so that a frame lasts as long, and leave letters out of its arguments"
        )
        raise ModelError(msg)


def _divergence(logits_BFV: Tensor, chances_BFV: Tensor) -> Tensor:
    logs_NV, chances_NV = logits_BFV.flatten(0, 1).log_softmax(1), chances_BFV.flatten(0, 1)
    return functional.kl_div(logs_NV, chances_NV, reduction="batchmean")


def anchored(model: nn.Module, batch: Batch) -> Tensor:
    """Teach encoders one space from a batch of inputs and labels of the first encoder, then of the second, and so on.

    Every concept has an anchor, learned beside the encoders (a proxy, arXiv:1703.07464), and every
    drawing, caption and recording is to find its own among those of all concepts, not only among the batch's.
    """
    anchors_KD = functional.normalize(model.anchors, dim=1)  # type: ignore[arg-type]
    pairs = zip(model.encoders.values(), batch[::2], batch[1::2], strict=False)  # type: ignore[operator]
    return torch.stack([_apart(encoder(inputs), labels_B, anchors_KD) for encoder, inputs, labels_B in pairs]).sum()


def anchored_and_spelled(model: nn.Module, batch: Batch) -> Tensor:
    """Like `anchored`, the last encoder being for speech: it is taught to spell, and to read what is heard or written.

    Its inputs and labels are followed by their letters (B, L), then by captions that nobody may have spoken, as if
    heard (W, 2, frames), and the labels of these.
    """
    *pairs, samples_BT, labels_B, letters_BL, written_W2F, labels_W = batch
    encoder: CtcEncoder = model.encoders["speech"]  # type: ignore[index,assignment]
    anchors_KD = functional.normalize(model.anchors, dim=1)  # type: ignore[arg-type]
    spelled_BFV = encoder.spelled(samples_BT)
    heard_BD, read_WD = _read(encoder, spelled_BFV, written_W2F)
    placed = _apart(heard_BD, labels_B, anchors_KD) + _apart(read_WD, labels_W, anchors_KD)
    return anchored(model, tuple(pairs)) + placed + SPELLING * spelling_loss(spelled_BFV, letters_BL)


def _read(encoder: CtcEncoder, spelled_BFV: Tensor, written_W2F: Tensor) -> tuple[Tensor, Tensor]:
    """Read what is heard and what is written in one go; returns the vectors (B, D) and (W, D)."""
    chances = torch.cat([spelled_BFV.softmax(2), chances_of(written_W2F, encoder.letters)])
    heard_BD, read_WD = encoder.read(chances).split([len(spelled_BFV), len(written_W2F)])
    return heard_BD, read_WD


def _apart(vectors_BD: Tensor, labels_B: Tensor, anchors_KD: Tensor) -> Tensor:
    return functional.cross_entropy(ANCHORED_SHARPNESS * vectors_BD.float() @ anchors_KD.T, labels_B)
