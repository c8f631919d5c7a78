"""Vectors of length one, in three operators where torch's `normalize` exports six."""

import torch
from torch import Tensor

LEAST = 1e-12
"""Length below which a vector is not made longer."""


def unit(vectors_ND: Tensor) -> Tensor:
    """Divide each vector (N, D) by its length."""
    return vectors_ND / torch.linalg.vector_norm(vectors_ND, dim=1, keepdim=True).clamp(min=LEAST)
