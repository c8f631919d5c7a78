"""What a tower learns from a teacher's tower: to put things where it puts them, among what the others have put there.

The teacher's gallery, the other tower's vectors of every concept, turns a vector into logits, so that every loss on
logits applies: `kl` is then distillation of the similarity distribution, which is relational, and the labels' loss is
contrastive against the gallery.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.compression.distil import distillation_loss
from models.compression.spelling import spelling_loss
from models.training import Batch, Objective

SHARPNESS = 30.0
"""What cosines are multiplied by to become logits, when a student learns."""
ANCHORED_SHARPNESS = 20.0
"""The same when a teacher learns."""
SPELLING = 3.0
"""Weight of the letters beside the place: places of recordings are soon known by heart, letters are not."""


def taught_vectors(
    gallery_KD: Tensor, loss: str, temperature: float, hard_weight: float, regression: float
) -> Objective:
    """Distillation loss on (inputs, labels_B, teacher_vectors_BD), for a network that gives unit vectors.

    Args:
        gallery_KD: unit vectors of the teacher's other tower, one per label.
        loss: a name of LOGIT_LOSSES.
        temperature: what softens both sides' logits.
        hard_weight: share of the labels' loss.
        regression: weight of one minus the cosine between student's and teacher's vector.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        inputs, labels_B, teacher_BD = batch[:3]
        vectors_BD = model(inputs).float()
        logits_BK, teacher_BK = (SHARPNESS * each @ gallery_KD.T for each in (vectors_BD, teacher_BD))
        apart = 1 - functional.cosine_similarity(vectors_BD, teacher_BD).mean()
        return distillation_loss(logits_BK, teacher_BK, labels_B, temperature, hard_weight, loss) + regression * apart

    return objective


def anchored(model: nn.Module, batch: Batch) -> Tensor:
    """Teach towers one space from a batch of inputs and labels of the first tower, then of the second, and so on.

    Every concept has an anchor, learned beside the towers (a proxy, arXiv:1703.07464), and every
    drawing, caption and recording is to find its own among those of all concepts, not only among the batch's.
    """
    anchors_KD = functional.normalize(model.anchors, dim=1)  # type: ignore[arg-type]
    pairs = zip(model.towers.values(), batch[::2], batch[1::2], strict=False)  # type: ignore[operator]
    return torch.stack([_apart(tower(inputs), labels_B, anchors_KD) for tower, inputs, labels_B in pairs]).sum()


def anchored_and_spelled(model: nn.Module, batch: Batch) -> Tensor:
    """Like `anchored`, the last tower being for speech; after its inputs come labels, letters and hidden pitches.

    Letters (B, L) are numbers; hidden pitches (B, R, 2) are the ends of ranges that are not heard, as shares of all.
    """
    *pairs, samples_BT, labels_B, letters_BL, hidden_BR2 = batch
    tower: Any = model.towers["speech"]  # type: ignore[index]
    heard_BC1F = tower.heard(_without(hidden_BR2, tower.bank(samples_BT)))
    anchors_KD = functional.normalize(model.anchors, dim=1)  # type: ignore[arg-type]
    logits_BVF = torch.einsum("vc,bcf->bvf", model.speller_VC, heard_BC1F[:, :, 0])
    placed = _apart(tower.placed(heard_BC1F), labels_B, anchors_KD)
    return anchored(model, tuple(pairs)) + placed + SPELLING * spelling_loss(logits_BVF, letters_BL)


def _without(hidden_BR2: Tensor, levels_BCF: Tensor) -> Tensor:
    """Put 0, which is usual, for the levels of hidden bands."""
    pitch_C = torch.linspace(0, 1, levels_BCF.shape[1])
    hidden_BC = ((pitch_C >= hidden_BR2[..., :1]) & (pitch_C < hidden_BR2[..., 1:])).any(1)
    return levels_BCF.masked_fill(hidden_BC[:, :, None], 0)


def _apart(vectors_BD: Tensor, labels_B: Tensor, anchors_KD: Tensor) -> Tensor:
    return functional.cross_entropy(ANCHORED_SHARPNESS * vectors_BD.float() @ anchors_KD.T, labels_B)
