"""Training objectives: labels alone, or distillation on logits, and optionally features and relations."""

from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.distillation.features import Projected, hint_loss
from stillhouse.models.distillation.logit import distillation_loss
from stillhouse.models.distillation.relational import relational_loss
from stillhouse.models.training.loop import Batch, Objective


def cross_entropy_objective(label_smoothing: float) -> Objective:
    """Return the cross-entropy with the labels, on (inputs, labels_B)."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        inputs, labels_B = batch
        return functional.cross_entropy(model(inputs).float(), labels_B, label_smoothing=label_smoothing)

    return objective


def taught_objective(loss: str, temperature: float, hard_weight: float, relations: float = 0.0) -> Objective:
    """Return the distillation loss on (images_BCHW, labels_B, teacher_logits_BK, ...), for any network.

    Args:
        loss: a key of LOGIT_LOSSES.
        temperature: softens the logits of student and teacher.
        hard_weight: share of the loss on the labels.
        relations: weight of the relational loss between the logits.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        images_BCHW, labels_B, teacher_BK = batch[:3]
        logits_BK = model(images_BCHW)
        total = distillation_loss(logits_BK, teacher_BK, labels_B, temperature, hard_weight, loss)
        return total + relations * relational_loss(logits_BK, teacher_BK) if relations else total

    return objective


def add_feature_loss(taught: Objective, weight: float, relations: float = 0.0) -> Objective:
    """Add a feature loss to `taught`, on (images_BCHW, labels_B, teacher_logits_BK, teacher_features_BD).

    The model must be a `Projected`.

    Args:
        taught: objective on the logits.
        weight: weight of the loss between the projected features and the teacher's features.
        relations: weight of the relational loss between the features of student and teacher.
    """

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(model, Projected)  # noqa: S101 - nothing else has features
        total = taught(model, batch) + weight * hint_loss(model.project(), batch[3])
        return total + relations * relational_loss(model.hook.features_NC, batch[3]) if relations else total

    return objective
