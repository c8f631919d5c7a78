"""What a tower learns from a teacher's tower: to put things where it puts them, among what the others have put there.

The teacher's gallery, the other tower's vectors of every concept, turns a vector into logits, so that every loss on
logits applies: `kl` is then distillation of the similarity distribution, the labels' loss is contrastive against the
gallery, and relations are those between the vectors themselves.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.compression.distil import distillation_loss
from models.training import Batch, Objective

SHARPNESS = 30.0
"""What cosines are multiplied by to become logits, about what contrastive teachers learn."""


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


def contrastive(model: nn.Module, batch: Batch) -> Tensor:
    """Teach towers one space from (images (2 * B, ...), codes_BL, labels_B) by InfoNCE (arXiv:1807.03748).

    Each drawing is to find its caption and each caption its drawing among the batch's, and the two drawings of a
    concept each other: hands differ, what they drew does not.
    """
    images, codes_BL, _ = batch
    first_BD, second_BD = model.image(images).float().chunk(2)  # type: ignore[operator]
    texts_BD = model.text(codes_BL).float()  # type: ignore[operator]
    sharpness = model.sharpness.exp().clamp(max=100)  # type: ignore[operator]
    captions = (_matched(first_BD, texts_BD, sharpness) + _matched(second_BD, texts_BD, sharpness)) / 2
    return captions + _matched(first_BD, second_BD, sharpness)


def _matched(one_BD: Tensor, other_BD: Tensor, sharpness: Tensor) -> Tensor:
    """Cross-entropy both ways of finding the fellow in the same place."""
    logits_BB = sharpness * one_BD @ other_BD.T
    own_B = torch.arange(len(logits_BB))
    return (functional.cross_entropy(logits_BB, own_B) + functional.cross_entropy(logits_BB.T, own_B)) / 2
