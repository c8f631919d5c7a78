"""Muon: its directions are orthogonal, its steps have one length, and the rest is plain SGD."""

import pytest
import torch
from torch import nn

from stillhouse.models.training.muon import (
    ADAM_DECAYS,
    ADAM_LEAST,
    ADAM_RATE,
    KERNEL_DECAY,
    KERNEL_RATE,
    Muon,
    orthogonalize,
)


@pytest.mark.parametrize(("outputs", "inputs"), [(8, 8), (4, 36), (64, 9)])
def test_directions_are_nearly_orthogonal(outputs: int, inputs: int) -> None:
    """Singular values come out near one, whatever the shape and the scale."""
    matrix_OI = 1e-3 * torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalize(matrix_OI, 5))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_singular_vectors_stay() -> None:
    """A diagonal matrix stays diagonal, and signs stay."""
    direction_OI = orthogonalize(torch.diag(torch.tensor([3.0, -1.0, 0.5])))
    assert torch.count_nonzero(direction_OI) == 3
    assert direction_OI.diagonal().sign().tolist() == [1.0, -1.0, 1.0]


def test_a_step_does_not_depend_on_the_size_of_the_gradient() -> None:
    """A thousand times the gradient moves a convolution as far."""
    moved = []
    for scale in (1.0, 1000.0):
        kernel_OIHW = nn.Parameter(torch.zeros(4, 2, 3, 3))
        kernel_OIHW.grad = scale * torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
        Muon([kernel_OIHW], lr=0.2, weight_decay=0.0).step()
        moved.append(kernel_OIHW.detach())
    assert torch.allclose(*moved, atol=1e-5)
    assert moved[0].norm() > 0.5 * 0.2 * KERNEL_RATE


def test_a_convolution_decays_without_a_gradient() -> None:
    """Where the gradient is zero, only the decay is left."""
    kernel_OIHW = nn.Parameter(torch.ones(2, 2, 1, 1))
    kernel_OIHW.grad = torch.zeros_like(kernel_OIHW)
    Muon([kernel_OIHW], lr=1.0, weight_decay=0.0).step()
    assert torch.allclose(kernel_OIHW, torch.full_like(kernel_OIHW, 1 - KERNEL_RATE * KERNEL_DECAY))


@pytest.mark.parametrize("shape", [(5,), (5, 3), (4, 1, 3, 3)])
def test_the_rest_is_sgd(shape: tuple[int, ...]) -> None:
    """Vectors, matrices and depthwise kernels move as torch's SGD moves them, decay on matrices only."""
    decay = 0.01 if len(shape) > 1 else 0.0
    start, ours, theirs = torch.ones(shape), nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape))
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, nesterov=True, weight_decay=decay)
    muon = Muon([ours], lr=0.1, weight_decay=0.01)
    for _ in range(3):
        ours.grad, theirs.grad = 2 * start, 2 * start
        muon.step()
        reference.step()
    assert torch.allclose(ours, theirs)


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_the_rest_can_be_adamw(shape: tuple[int, ...]) -> None:
    """Vectors and matrices then move as torch's AdamW moves them, at its share of the learning rate."""
    generator = torch.Generator().manual_seed(1)
    ours, theirs = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape))
    decay = 0.1 if len(shape) > 1 else 0.0
    reference = torch.optim.AdamW([theirs], lr=0.1 * ADAM_RATE, betas=ADAM_DECAYS, eps=ADAM_LEAST, weight_decay=decay)
    muon = Muon([ours], lr=0.1, weight_decay=0.1, adam=True)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(shape, generator=generator)
        muon.step()
        reference.step()
    assert torch.allclose(ours, theirs)
