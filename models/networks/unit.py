"""Normalise vectors to length one, in three ONNX operators. Torch's `normalize` exports six."""

import torch
from torch import Tensor

LEAST = 1e-12
"""A shorter vector is not scaled up to length one."""


def unit(vectors_ND: Tensor) -> Tensor:
    """Divide each vector (N, D) by its length."""
    return vectors_ND / torch.linalg.vector_norm(vectors_ND, dim=1, keepdim=True).clamp(min=LEAST)
