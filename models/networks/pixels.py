"""Scale raw pixels. The scaling is part of the network, so every exported model contains it."""

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """Compute `pixels / scale`. If the network needs colours and the data is grey, repeat the channel `times` times.

    A scale of 1 adds no operator.

    No mean is subtracted, only the value of an empty pixel. So zero padding stays empty, and the scale folds exactly
    into the first layer.
    """

    scale: Tensor

    def __init__(self, scale: float, times: int, background: int = 0) -> None:
        """Store the scale (the standard deviation of the training pixels) and the value of an empty pixel."""
        super().__init__()
        self.times, self.background, self.divides = times, background, scale != 1
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) of any number type to floats (N, C * times, H, W)."""
        above_NCHW = above(images_NCHW, self.background)
        return repeat_channel(above_NCHW / self.scale if self.divides else above_NCHW, self.times)


class UnscaledPixels(nn.Module):
    """`Pixels` without the scale, after the scale was folded into the next layer."""

    def __init__(self, times: int, background: int = 0) -> None:
        """Store the number of channel repetitions and the value of an empty pixel."""
        super().__init__()
        self.times, self.background = times, background

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) of any number type to floats (N, C * times, H, W)."""
        return repeat_channel(above(images_NCHW, self.background), self.times)


def above(images_NCHW: Tensor, background: int) -> Tensor:
    """Subtract the value of an empty pixel. If it is 0, no operator is added."""
    return images_NCHW.float() - background if background else images_NCHW.float()


def repeat_channel(images_NCHW: Tensor, times: int) -> Tensor:
    """Repeat the channel. If `times` is 1, no operator is added."""
    return images_NCHW if times == 1 else images_NCHW.expand(-1, times, -1, -1)
