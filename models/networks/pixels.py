"""Raw pixels in, scaled pixels out: part of the network, so that nothing can ship without it."""

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """`pixels / scale`, repeated over `channels` where the network wants more than the data has.

    No mean is subtracted: zero padding then stays a black pixel, and the scale folds exactly into the first layer.
    """

    scale: Tensor

    def __init__(self, scale: float, channels: int) -> None:
        """Keep the scale, the standard deviation of the training pixels."""
        super().__init__()
        self.channels = channels
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, 1, H, W) of any number type to floats (N, channels, H, W)."""
        return repeated(images_NCHW.float() / self.scale, self.channels)


class UnscaledPixels(nn.Module):
    """What is left of `Pixels` once the layer after it has taken over the scale."""

    def __init__(self, channels: int) -> None:
        """Keep the number of channels."""
        super().__init__()
        self.channels = channels

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, 1, H, W) of any number type to floats (N, channels, H, W)."""
        return repeated(images_NCHW.float(), self.channels)


def repeated(images_N1HW: Tensor, channels: int) -> Tensor:
    """Repeat the one channel, without an operator where one is enough."""
    return images_N1HW if channels == 1 else images_N1HW.expand(-1, channels, -1, -1)
