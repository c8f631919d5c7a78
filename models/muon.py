"""Muon: convolutions step along the nearest orthogonal matrix (Jordan 2024, kellerjordan.github.io/posts/muon).

torch.optim.Muon takes matrices only; a convolution is one here, its kernel flattened to (out, in * height * width).
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.9
ITERATIONS = 3
KERNEL_RATE = 0.1
"""A convolution's learning rate, as a share of everyone else's."""
KERNEL_DECAY = 0.5
"""A convolution's weight decay, as a share of its learning rate: steps of fixed length need it far stronger."""


def orthogonalized(matrix_OI: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Return a matrix with the same singular vectors and singular values near one, by Newton-Schulz iterations.

    Args:
        matrix_OI: (outputs, inputs).
        iterations: three bring values over 0.1 into 0.6 to 1.3, which is as exact as training needs.
    """
    tall = matrix_OI.shape[0] > matrix_OI.shape[1]
    wide: Tensor = (matrix_OI.T if tall else matrix_OI) / (matrix_OI.norm() + 1e-7)
    for _ in range(iterations):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    return wide.T if tall else wide


class Muon(torch.optim.Optimizer):
    """Muon for convolutions that mix channels, SGD with Nesterov momentum for everything else."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        """Sort the parameters by what they are.

        Args:
            parameters: those to train.
            lr: learning rate of SGD's share; convolutions take `KERNEL_RATE` of it.
            weight_decay: of the matrices in SGD's share; vectors have none.
        """
        kernels: list[nn.Parameter] = []
        matrices: list[nn.Parameter] = []
        vectors: list[nn.Parameter] = []
        for parameter in parameters:
            mixes = parameter.ndim == 4 and parameter.shape[1] > 1  # noqa: PLR2004 - NCHW
            (kernels if mixes else matrices if parameter.ndim > 1 else vectors).append(parameter)
        groups: list[dict[str, object]] = [
            {"params": kernels, "orthogonal": True},
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors},
        ]
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Take one step along the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
                if group["orthogonal"]:
                    _along_orthogonal(parameter, parameter.grad, momentum, group["lr"])
                else:
                    _along_gradient(parameter, parameter.grad, momentum, group["lr"], group["weight_decay"])


def _nesterov(gradient: Tensor, momentum: Tensor) -> Tensor:
    momentum.mul_(MOMENTUM).add_(gradient)
    return gradient.add(momentum, alpha=MOMENTUM)


def _along_gradient(parameter: Tensor, gradient: Tensor, momentum: Tensor, lr: float, weight_decay: float) -> None:
    parameter.add_(_nesterov(gradient.add(parameter, alpha=weight_decay), momentum), alpha=-lr)


def _along_orthogonal(kernel_OIHW: Tensor, gradient_OIHW: Tensor, momentum_OIHW: Tensor, lr: float) -> None:
    direction_OK = orthogonalized(_nesterov(gradient_OIHW, momentum_OIHW).flatten(1))
    outputs, inputs = direction_OK.shape
    lr *= KERNEL_RATE
    kernel_OIHW.mul_(1 - lr * KERNEL_DECAY)
    kernel_OIHW.add_(direction_OK.view_as(kernel_OIHW), alpha=-lr * max(1.0, outputs / inputs) ** 0.5)
