"""Distillation: a student learns the teacher's output distribution (Hinton et al. 2015, arXiv:1503.02531)."""

import torch
from torch import Tensor
from torch.nn import functional

from models.compression.fold import fold_batch_norm


def distillation_loss(
    logits_BK: Tensor, teacher_logits_BK: Tensor, labels_B: Tensor, temperature: float, hard_weight: float
) -> Tensor:
    """`hard_weight * L_student + (1 - hard_weight) * L_distillation`, a scalar.

    L_student is the cross-entropy with the labels; L_distillation is the KL divergence from the teacher's
    softened distribution, times the squared temperature so that its gradients keep their size.
    """
    student_loss = functional.cross_entropy(logits_BK.float(), labels_B)
    divergence = functional.kl_div(
        functional.log_softmax(logits_BK.float() / temperature, dim=1),
        functional.log_softmax(teacher_logits_BK.float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return hard_weight * student_loss + (1 - hard_weight) * temperature**2 * divergence


@torch.no_grad()
def teacher_logits(teacher: torch.nn.Module, images_NCHW: Tensor, batch_size: int = 500) -> Tensor:
    """Ask the teacher about every image once; returns logits (N, K)."""
    folded = fold_batch_norm(teacher)
    batches = images_NCHW.split(batch_size)
    return torch.cat([folded(batch.float().contiguous(memory_format=torch.channels_last)) for batch in batches])
