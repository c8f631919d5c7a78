"""Muon: convolutions step along the nearest orthogonal matrix (Jordan 2024, kellerjordan.github.io/posts/muon).

torch.optim.Muon takes only matrices. Here a convolution is the matrix (out, in * height * width) of its kernel.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

MOMENTUM = 0.9
ITERATIONS = 3
KERNEL_RATE = 0.1
"""Learning rate of convolutions, as a share of the learning rate of the other weights."""
KERNEL_DECAY = 0.5
"""Weight decay of convolutions, as a share of their learning rate. Steps of fixed length need a stronger decay."""
ADAM_RATE, ADAM_DECAYS, ADAM_LEAST = 0.01, (0.9, 0.98), 1e-8
"""Adam's learning rate as a share of SGD's, its two decay rates (betas), and its epsilon."""

State = dict[str, Tensor]
States = Mapping[Tensor, State]


def orthogonalize(matrices_OI: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Return matrices with the same singular vectors and singular values near one, by Newton-Schulz iterations.

    Args:
        matrices_OI: (outputs, inputs), or several matrices (N, outputs, inputs).
        iterations: three iterations bring singular values over 0.1 into 0.6 to 1.3, which is exact enough for training.
    """
    tall = matrices_OI.shape[-2] > matrices_OI.shape[-1]
    wide: Tensor = (matrices_OI.mT if tall else matrices_OI) / (matrices_OI.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = wide @ wide.mT
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    return wide.mT if tall else wide


class Muon(torch.optim.Optimizer):
    """Muon for weights that mix channels, SGD with Nesterov momentum or AdamW for all other parameters."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        *,
        adam: bool = False,
        linear: bool = False,
    ) -> None:
        """Group the parameters by their kind.

        Args:
            parameters: the parameters to train.
            lr: learning rate of SGD. Convolutions use `KERNEL_RATE` of it, AdamW uses `ADAM_RATE` of it.
            weight_decay: weight decay of linear layers and of other matrices. Vectors have none.
            adam: use AdamW instead of SGD. Tables need it, because a batch reads only few of their rows.
            linear: step along orthogonal matrices in linear layers too, except in the last one, as in transformers.
        """
        kernels: list[nn.Parameter] = []
        layers: list[nn.Parameter] = []
        matrices: list[nn.Parameter] = []
        vectors: list[nn.Parameter] = []
        given = list(parameters)
        last = max((place for place, each in enumerate(given) if each.ndim == 2), default=-1)  # noqa: PLR2004 - OI
        for place, parameter in enumerate(given):
            if parameter.ndim == 4 and parameter.shape[1] > 1:  # noqa: PLR2004 - NCHW
                kernels.append(parameter)
            elif linear and parameter.ndim == 2 and place != last:  # noqa: PLR2004 - OI
                layers.append(parameter)
            else:
                (matrices if parameter.ndim > 1 else vectors).append(parameter)
        groups: list[dict[str, object]] = [
            {"params": kernels, "weight_decay": KERNEL_DECAY, "step": _along_orthogonal},
            {"params": layers, "weight_decay": weight_decay, "step": _all_along_orthogonal},
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors},
        ]
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "step": _along_adam if adam else _along_gradient})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Take one step along the gradients."""
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            group["step"](trained, self.state, group["lr"], group["weight_decay"])


def _nesterov(gradient: Tensor, state: State) -> Tensor:
    momentum = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
    momentum.mul_(MOMENTUM).add_(gradient)
    return gradient.add(momentum, alpha=MOMENTUM)


def _along_gradient(parameters: list[nn.Parameter], states: States, lr: float, weight_decay: float) -> None:
    for parameter in parameters:
        gradient = _gradient(parameter).add(parameter, alpha=weight_decay)
        parameter.add_(_nesterov(gradient, states[parameter]), alpha=-lr)


def _along_adam(parameters: list[nn.Parameter], states: States, lr: float, weight_decay: float) -> None:
    """Step as AdamW does (Loshchilov 2017, arXiv:1711.05101), by torch's own."""
    for parameter in parameters:
        states[parameter].setdefault("step", torch.zeros(()))
        for name in ("exp_avg", "exp_avg_sq"):
            states[parameter].setdefault(name, torch.zeros_like(parameter))
    means, squares, steps = ([states[each][name] for each in parameters] for name in ("exp_avg", "exp_avg_sq", "step"))
    adamw(
        list[Tensor](parameters),
        [_gradient(parameter) for parameter in parameters],
        means,
        squares,
        [],
        steps,
        fused=parameters[0].device.type == "cpu" if parameters else None,  # a GPU's wants its counts there
        amsgrad=False,
        beta1=ADAM_DECAYS[0],
        beta2=ADAM_DECAYS[1],
        lr=lr * ADAM_RATE,
        weight_decay=weight_decay,
        eps=ADAM_LEAST,
        maximize=False,
    )


def _along_orthogonal(kernels: list[nn.Parameter], states: States, lr: float, weight_decay: float) -> None:
    for kernel_OIHW in kernels:
        direction_OK = orthogonalize(_nesterov(_gradient(kernel_OIHW), states[kernel_OIHW]).flatten(1))
        _move(kernel_OIHW, direction_OK, lr * KERNEL_RATE, weight_decay)


def _all_along_orthogonal(layers: list[nn.Parameter], states: States, lr: float, weight_decay: float) -> None:
    """Move all linear layers. Those of one shape are orthogonalized together, which takes half the time."""
    for _, same in groupby(sorted(layers, key=_shape), _shape):
        of_shape = list(same)
        directions_NOI = orthogonalize(torch.stack([_nesterov(_gradient(each), states[each]) for each in of_shape]))
        for layer_OI, direction_OI in zip(of_shape, directions_NOI, strict=True):
            _move(layer_OI, direction_OI, lr * KERNEL_RATE, weight_decay)


def _shape(parameter: Tensor) -> tuple[int, ...]:
    return tuple(parameter.shape)


def _move(parameter: nn.Parameter, direction_OK: Tensor, lr: float, weight_decay: float) -> None:
    outputs, inputs = direction_OK.shape
    parameter.mul_(1 - lr * weight_decay)
    parameter.add_(direction_OK.view_as(parameter), alpha=-lr * max(1.0, outputs / inputs) ** 0.5)


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None  # noqa: S101 - step leaves out the others
    return parameter.grad
