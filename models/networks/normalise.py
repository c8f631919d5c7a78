"""Raw pixels in, standardised pixels out: part of the network, so that nothing can ship without it."""

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """`(pixels - mean) / std`, repeated over `channels` where the network wants more than the data has."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float, channels: int) -> None:
        """Keep the two statistics of the training pixels."""
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, 1, H, W) of any number type to floats (N, channels, H, W)."""
        standardised_NCHW = (images_NCHW.float() - self.mean) / self.std
        return standardised_NCHW.expand(-1, self.channels, -1, -1)
