"""Losses of an encoder that learns the vector space of its teacher.

The teacher's gallery has one vector of the teacher's other encoder for each concept. The similarities to the gallery
turn a vector into logits, so every loss on logits applies. `kl` is then distillation of the similarity distribution,
which is relational. The loss on the labels is contrastive against the gallery.
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
"""Factor that turns cosines into logits when a student learns."""
ANCHORED_SHARPNESS = 20.0
"""Factor that turns cosines into logits when a teacher learns."""
SPELLING = 3.0
"""Weight of the CTC loss against the loss on the vectors.

The encoder soon memorises the vectors of recordings. It does not memorise letters so fast.
"""


TowerObjective = Callable[[Callable[[Tensor], Tensor], Batch], Tensor]
"""An objective that only calls the model."""


def taught_vectors(
    gallery_KD: Tensor, loss: str, temperature: float, hard_weight: float, regression: float
) -> TowerObjective:
    """Return the distillation loss on (inputs, labels_B, teacher_vectors_BD), for a network that gives unit vectors.

    Args:
        gallery_KD: unit vectors of the teacher's other encoder, one per label.
        loss: a key of LOGIT_LOSSES.
        temperature: softens the logits of student and teacher.
        hard_weight: share of the loss on the labels.
        regression: weight of one minus the cosine between the vectors of student and teacher.
    """

    def objective(model: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        inputs, labels_B, teacher_BD = batch[:3]
        vectors_BD = model(inputs).float()
        logits_BK, teacher_BK = (SHARPNESS * each @ gallery_KD.T for each in (vectors_BD, teacher_BD))
        apart = 1 - functional.cosine_similarity(vectors_BD, teacher_BD).mean()
        return distillation_loss(logits_BK, teacher_BK, labels_B, temperature, hard_weight, loss) + regression * apart

    return objective


def taught_letters(taught: TowerObjective, weight: float) -> Objective:
    """Add the loss of a CTC encoder: the teacher's letters, and the teacher's vectors of written captions.

    Its batches come from `TextInjectionBatches`.

    Args:
        taught: objective on the vectors of recordings and of captions.
        weight: weight of the KL divergence from the teacher's letters, averaged over all frames.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        if not isinstance(model, CtcEncoder):
            msg = "ctc_kl_weight is for a speech encoder: name speech_plain_encoder, or leave it out"
            raise ModelError(msg)
        samples_BT, labels_B, teacher_BD, chances_BFV, written_W2F, labels_W, teacher_WD = batch
        spelled_BFV = model.spell(samples_BT)
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


def contrast_with_teacher(model: nn.Module, batch: Batch) -> Tensor:
    """Train the encoders of one space together.

    The batch has the inputs and labels of the first encoder, then those of the second encoder, and so on.

    Every concept has an anchor vector (a proxy, arXiv:1703.07464), which is trained with the encoders. Each drawing,
    caption and recording must find its own anchor among the anchors of all concepts of the data, not only of the
    batch.
    """
    anchors_KD = functional.normalize(model.anchors, dim=1)  # type: ignore[arg-type]
    pairs = zip(model.encoders.values(), batch[::2], batch[1::2], strict=False)  # type: ignore[operator]
    return torch.stack([_apart(encoder(inputs), labels_B, anchors_KD) for encoder, inputs, labels_B in pairs]).sum()


def contrast_and_spell(model: nn.Module, batch: Batch) -> Tensor:
    """Like `contrast_with_teacher`. The last encoder is a speech encoder, and also learns letters and captions.

    After the inputs and labels of the speech encoder, the batch has the letters of the recordings (B, L). Then it has
    captions in the form of heard letters (W, 2, frames), recorded or not, and their labels.
    """
    *pairs, samples_BT, labels_B, letters_BL, written_W2F, labels_W = batch
    encoder: CtcEncoder = model.encoders["speech"]  # type: ignore[index,assignment]
    anchors_KD = functional.normalize(model.anchors, dim=1)  # type: ignore[arg-type]
    spelled_BFV = encoder.spell(samples_BT)
    heard_BD, read_WD = _read(encoder, spelled_BFV, written_W2F)
    placed = _apart(heard_BD, labels_B, anchors_KD) + _apart(read_WD, labels_W, anchors_KD)
    return contrast_with_teacher(model, tuple(pairs)) + placed + SPELLING * spelling_loss(spelled_BFV, letters_BL)


def _read(encoder: CtcEncoder, spelled_BFV: Tensor, written_W2F: Tensor) -> tuple[Tensor, Tensor]:
    """Read heard and written letters in one call. Returns the vectors (B, D) and (W, D)."""
    chances = torch.cat([spelled_BFV.softmax(2), chances_of(written_W2F, encoder.letters)])
    heard_BD, read_WD = encoder.read(chances).split([len(spelled_BFV), len(written_W2F)])
    return heard_BD, read_WD


def _apart(vectors_BD: Tensor, labels_B: Tensor, anchors_KD: Tensor) -> Tensor:
    return functional.cross_entropy(ANCHORED_SHARPNESS * vectors_BD.float() @ anchors_KD.T, labels_B)
