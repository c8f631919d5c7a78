"""Relational distillation (RKD, Park et al. 2019, arXiv:1904.05068): relations between the examples of a batch.

The losses compare only distances and angles, so student and teacher may have different widths.
"""

import torch
from torch import Tensor
from torch.nn import functional

DISTANCE_WEIGHT, ANGLE_WEIGHT = 1.0, 2.0
ANGLE_EXAMPLES = 64
"""Angles use only this many examples of a batch. A batch of 250 has 15 million angles, which take seconds."""
SMALLEST = 1e-12


def relational_loss(features_BC: Tensor, teacher_BD: Tensor) -> Tensor:
    """Return `1 * distance_loss + 2 * angle_loss`, a scalar. A batch of one example has no relations and gives 0.

    Args:
        features_BC: the student's outputs or features.
        teacher_BD: the teacher's outputs or features, of any width.
    """
    student_BC, fixed_BD = features_BC.float(), teacher_BD.float()
    if len(student_BC) == 1:
        return 0.0 * student_BC.sum()
    angles = angle_loss(student_BC[:ANGLE_EXAMPLES], fixed_BD[:ANGLE_EXAMPLES])
    return DISTANCE_WEIGHT * distance_loss(student_BC, fixed_BD) + ANGLE_WEIGHT * angles


def distance_loss(features_BC: Tensor, teacher_BD: Tensor) -> Tensor:
    """Huber loss between all pairwise distances. Each set of distances is divided by its mean."""
    return functional.smooth_l1_loss(_distances(features_BC), _distances(teacher_BD))


def angle_loss(features_BC: Tensor, teacher_BD: Tensor) -> Tensor:
    """Huber loss between the cosines of the angles of all triples of examples."""
    return functional.smooth_l1_loss(_cosines(features_BC), _cosines(teacher_BD))


def _distances(features_BC: Tensor) -> Tensor:
    distances_P = torch.pdist(features_BC)
    return distances_P / distances_P.mean().clamp(min=SMALLEST)


def _cosines(features_BC: Tensor) -> Tensor:
    """Cosines (B, B, B): the angle at corner j between the directions to i and to k."""
    directions_BBC = functional.normalize(features_BC[None] - features_BC[:, None], dim=2)
    return torch.bmm(directions_BBC, directions_BBC.transpose(1, 2))
