"""Distillation losses on the teacher's logits, used together with the loss on the labels.

Every loss softens the logits of student and teacher by a temperature T. Every loss is then multiplied by T^2, so that
the gradients keep their size.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from stillhouse.models.compression.fold import fold_batch_norm
from stillhouse.models.training.ready import ready

TARGET_WEIGHT, OTHERS_WEIGHT = 1.0, 8.0
"""DKD's alpha and beta, as in the paper's CIFAR-100 setting."""


def kl(logits_BK: Tensor, teacher_logits_BK: Tensor, _labels_B: Tensor, temperature: float) -> Tensor:
    """KL divergence from the teacher's softened distribution (Hinton et al. 2015, arXiv:1503.02531)."""
    return _divergence(_log_softmax(logits_BK, temperature), _log_softmax(teacher_logits_BK, temperature))


def dkd(logits_BK: Tensor, teacher_logits_BK: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """Decoupled distillation (Zhao et al. 2022, arXiv:2203.08679): `1 * target + 8 * others`.

    `target` is the KL divergence of (true class, all others). `others` is the KL divergence among the wrong classes.
    Plain KL weighs `others` by the teacher's uncertainty, so a confident teacher hides it. The gradients are several
    times those of `kl`, and the paper uses a warm-up: train with about a quarter of the learning rate that suits `kl`.
    """
    target_BK = functional.one_hot(labels_B, logits_BK.shape[1]).bool()
    student_B2, teacher_B2 = (_target_or_not(x, target_BK, temperature) for x in (logits_BK, teacher_logits_BK))
    student_BO, teacher_BO = (_log_softmax(_others(x, target_BK), temperature) for x in (logits_BK, teacher_logits_BK))
    target, others = _divergence(student_B2, teacher_B2), _divergence(student_BO, teacher_BO)
    return TARGET_WEIGHT * target + OTHERS_WEIGHT * others


def dist(logits_BK: Tensor, teacher_logits_BK: Tensor, _labels_B: Tensor, temperature: float) -> Tensor:
    """One minus Pearson's correlation with the teacher (DIST, Huang et al. 2022, arXiv:2205.10536).

    The loss has a term between the classes of each example and a term between the examples of each class. A student
    that is too small to copy the teacher's probabilities can still learn the teacher's ranking.
    """
    student_BK, teacher_BK = (_log_softmax(x, temperature).exp() for x in (logits_BK, teacher_logits_BK))
    between_classes = 1 - _correlation(student_BK, teacher_BK).mean()
    within_classes = 1 - _correlation(student_BK.T, teacher_BK.T).mean()
    return between_classes + within_classes


LogitLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
LOGIT_LOSSES: dict[str, LogitLoss] = {"kl": kl, "dkd": dkd, "dist": dist}
"""Name -> `(logits_BK, teacher_logits_BK, labels_B, temperature) -> scalar`."""


def distillation_loss(  # noqa: PLR0913, PLR0917 - the formula's terms
    logits_BK: Tensor,
    teacher_logits_BK: Tensor,
    labels_B: Tensor,
    temperature: float,
    hard_weight: float,
    loss: str = "kl",
) -> Tensor:
    """Return `hard_weight * L_student + (1 - hard_weight) * T^2 * L_distillation`, a scalar.

    L_student is the cross-entropy with the labels. L_distillation is the named loss of LOGIT_LOSSES.
    """
    student_loss = functional.cross_entropy(logits_BK.float(), labels_B)
    taught_loss = LOGIT_LOSSES[loss](logits_BK, teacher_logits_BK, labels_B, temperature)
    return hard_weight * student_loss + (1 - hard_weight) * temperature**2 * taught_loss


@torch.no_grad()
def teacher_logits(teacher: torch.nn.Module, inputs: Tensor, batch_size: int = 500) -> Tensor:
    """Return the teacher's logits or vectors (N, K) for every image (N, C, H, W) or sentence (N, L)."""
    folded = fold_batch_norm(teacher)
    return torch.cat([folded(ready(batch)) for batch in inputs.split(batch_size)])


def mean_logits(logits: list[Tensor]) -> Tensor:
    """Return the logarithm (N, K) of the mean probabilities of several teachers, given the logits (N, K) of each."""
    logs_TNK = torch.stack([each.float().log_softmax(1) for each in logits])
    mean: Tensor = torch.logsumexp(logs_TNK, dim=0) - torch.tensor(float(len(logits))).log()
    return mean


def _log_softmax(logits_BK: Tensor, temperature: float) -> Tensor:
    return functional.log_softmax(logits_BK.float() / temperature, dim=1)


def _divergence(student_BK: Tensor, teacher_BK: Tensor) -> Tensor:
    return functional.kl_div(student_BK, teacher_BK, reduction="batchmean", log_target=True)


def _others(logits_BK: Tensor, target_BK: Tensor) -> Tensor:
    return logits_BK[~target_BK].reshape(len(logits_BK), -1)


def _target_or_not(logits_BK: Tensor, target_BK: Tensor, temperature: float) -> Tensor:
    """Return the log-probabilities (B, 2) of the true class and of all other classes together."""
    logs_BK = _log_softmax(logits_BK, temperature)
    return torch.stack([logs_BK[target_BK], _others(logs_BK, target_BK).logsumexp(1)], dim=1)


def _correlation(one_RN: Tensor, other_RN: Tensor) -> Tensor:
    """Return Pearson's correlation (R,) of each row with the matching row; 0 if a row is constant."""
    one_centred, other_centred = (rows - rows.mean(1, keepdim=True) for rows in (one_RN, other_RN))
    return functional.cosine_similarity(one_centred, other_centred, dim=1)
