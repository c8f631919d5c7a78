"""Feature distillation (FitNets, Romero et al. 2014, arXiv:1412.6550) through a learned projection.

Features of student and teacher are averaged over positions first, so that the teacher's features of every view are
small enough to keep on disk. A 1x1 convolution and an average can be exchanged, so the projection is a linear layer on
the averages.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.errors import ModelError

NAMES_SHOWN = 12


class ActivationHook:
    """Keeps the last output of one layer as `features_NC`, averaged over positions."""

    features_NC: Tensor

    def __init__(self, network: nn.Module, layer: str) -> None:
        """Attach the hook to a layer, by its name.

        Raises:
            ModelError: there is no such layer. The message names some layers.
        """
        layers = dict(network.named_modules())
        if not layer or layer not in layers:
            msg = f"there is no layer {layer!r} to listen to; name one of {', '.join(_some(layers))}"
            raise ModelError(msg)
        self._layer = layer
        self._handle = layers[layer].register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim < 2:  # noqa: PLR2004 - examples and channels
            msg = f"layer {self._layer!r} does not give one tensor with channels; listen to a layer inside it"
            raise ModelError(msg)
        self.features_NC = average_positions(output)

    def close(self) -> None:
        """Detach the hook."""
        self._handle.remove()


class Projected(nn.Module):
    """A student with a projection of an inner layer to the teacher's width. A call returns the student's output."""

    def __init__(self, student: nn.Module, hook: ActivationHook, width_in: int, width: int) -> None:
        """Add a new projection to the student."""
        super().__init__()
        self.student = student
        self.projection = nn.Linear(width_in, width)
        self.hook = hook

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images to the student's logits (N, K)."""
        logits_NK: Tensor = self.student(images_NCHW)
        return logits_NK

    def project(self) -> Tensor:
        """Return the projected features (N, width) of the layer at the last call."""
        projected_ND: Tensor = self.projection(self.hook.features_NC)
        return projected_ND


@contextmanager
def project_student(student: nn.Module, layer: str, width: int, image_NCHW: Tensor, seed: int) -> Iterator[Projected]:
    """Add a projection to a student during a training. Afterwards the projection and the hook are removed.

    Args:
        student: the network to train.
        layer: name of the student's layer, as in `named_modules`.
        width: number of channels of the teacher's features.
        image_NCHW: any input. It is used to find the width of the layer.
        seed: determines the initial weights of the projection.

    Raises:
        ModelError: there is no such layer, or its output is not a tensor.
    """
    hook = ActivationHook(student, layer)
    try:
        _ask_once(student, image_NCHW)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            whole = Projected(student, hook, hook.features_NC.shape[1], width)
        yield whole
    finally:
        hook.close()


def hint_loss(projected_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    """Return the mean squared distance between both features scaled to length 1, over the batch: from 0 to 4."""
    student_BD, fixed_BD = (functional.normalize(side.float(), dim=1) for side in (projected_BD, teacher_BD))
    return (student_BD - fixed_BD).pow(2).sum(1).mean()


@torch.no_grad()
def layer_features(network: nn.Module, layer: str, images_NCHW: Tensor, batch_size: int = 500) -> Tensor:
    """Return the features (N, C) of a layer, by its name, in float16.

    Raises:
        ModelError: there is no such layer, or its output is not a tensor.
    """
    hook = ActivationHook(network.eval(), layer)
    found = []
    try:
        for batch in images_NCHW.split(batch_size):
            network(batch.float().contiguous(memory_format=torch.channels_last))
            found.append(hook.features_NC.half())
    finally:
        hook.close()
    return torch.cat(found)


def average_positions(output: Tensor) -> Tensor:
    """Average over positions: (N, C), (N, T, C) or (N, C, H, W) -> (N, C)."""
    if output.ndim == 3:  # noqa: PLR2004 - tokens come before channels
        return output.mean(1)
    return output.flatten(2).mean(2) if output.ndim > 2 else output  # noqa: PLR2004 - channels come before positions


@torch.no_grad()
def _ask_once(student: nn.Module, image_NCHW: Tensor) -> None:
    """Call the student without changing its batch statistics."""
    training = student.training
    student.eval()(image_NCHW)
    student.train(training)


def _some(layers: dict[str, nn.Module]) -> list[str]:
    names = [name for name in layers if name]
    return names if len(names) <= NAMES_SHOWN else [*names[:NAMES_SHOWN], "..."]
