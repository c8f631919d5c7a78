"""Views of whole batches of images, made in memory."""

import torch
from torch import Tensor
from torch.nn import functional


def flipped(images_NCHW: Tensor, mirrored_N: Tensor) -> Tensor:
    """Mirror the images for which `mirrored_N` (bool) is true."""
    return torch.where(mirrored_N[:, None, None, None], images_NCHW.flip(3), images_NCHW)


def shifted(images_NCHW: Tensor, generator: torch.Generator, most: int = 1) -> Tensor:
    """Move each image at random by up to `most` pixels in each direction, filling with zeros."""
    count, channels, height, width = images_NCHW.shape
    padded = functional.pad(images_NCHW, (most, most, most, most))
    top_N11, left_N11 = (torch.randint(0, 2 * most + 1, (count, 1, 1), generator=generator) for _ in range(2))
    rows_NH1 = top_N11 + torch.arange(height)[None, :, None]
    columns_N1W = left_N11 + torch.arange(width)[None, None, :]
    moved = [padded[torch.arange(count)[:, None, None], channel, rows_NH1, columns_N1W] for channel in range(channels)]
    return torch.stack(moved, dim=1)


def resized(images_NCHW: Tensor, side: int) -> Tensor:
    """Scale raw pixels to (N, C, side, side), as floats; unchanged where they have that size already."""
    if images_NCHW.shape[-1] == side:
        return images_NCHW.float()
    return functional.interpolate(images_NCHW.float(), size=(side, side), mode="bilinear", antialias=True)
