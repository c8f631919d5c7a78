"""Raw pixels in, scaled pixels out: part of the network, so that nothing can ship without it."""

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """`pixels / scale`, the one channel repeated `times` over where the network wants colours and the data is grey.

    No mean is subtracted, but for the value of an empty pixel: zero padding then stays empty, and the scale folds
    exactly into the first layer.
    """

    scale: Tensor

    def __init__(self, scale: float, times: int, background: int = 0) -> None:
        """Keep the scale, the standard deviation of the training pixels, and the value of an empty one."""
        super().__init__()
        self.times, self.background = times, background
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) of any number type to floats (N, C * times, H, W)."""
        return repeated(above(images_NCHW, self.background) / self.scale, self.times)


class UnscaledPixels(nn.Module):
    """What is left of `Pixels` once the layer after it has taken over the scale."""

    def __init__(self, times: int, background: int = 0) -> None:
        """Keep how often the channel is repeated and the value of an empty pixel."""
        super().__init__()
        self.times, self.background = times, background

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) of any number type to floats (N, C * times, H, W)."""
        return repeated(above(images_NCHW, self.background), self.times)


def above(images_NCHW: Tensor, background: int) -> Tensor:
    """Count from an empty pixel's value, without an operator where that is 0."""
    return images_NCHW.float() - background if background else images_NCHW.float()


def repeated(images_NCHW: Tensor, times: int) -> Tensor:
    """Repeat the one channel, without an operator where once is enough."""
    return images_NCHW if times == 1 else images_NCHW.expand(-1, times, -1, -1)
