"""Views of whole batches of images, made in memory."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_and_shift(images_NCHW: Tensor, mirrored_N: Tensor, generator: torch.Generator, most: int = 1) -> Tensor:
    """Mirror the chosen images and move each at random by up to `most` pixels, filling with zeros.

    Args:
        images_NCHW: raw pixels.
        mirrored_N: which images to mirror, bool.
        generator: the source of the moves.
        most: the longest move in each direction, in pixels.
    """
    count, channels, height, width = images_NCHW.shape
    padded = functional.pad(images_NCHW, (most, most, most, most))
    top_N11 = torch.randint(0, 2 * most + 1, (count, 1, 1), generator=generator)
    left_N11 = torch.randint(0, 2 * most + 1, (count, 1, 1), generator=generator)
    columns_W = torch.arange(width)
    columns_N1W = torch.where(mirrored_N[:, None, None], columns_W.flip(0), columns_W) + left_N11
    rows_NH1 = top_N11 + torch.arange(height)[None, :, None]
    moved = [padded[torch.arange(count)[:, None, None], channel, rows_NH1, columns_N1W] for channel in range(channels)]
    return torch.stack(moved, dim=1)


def resized(images_NCHW: Tensor, side: int) -> Tensor:
    """Scale raw pixels to (N, C, side, side), as floats; unchanged where they have that size already."""
    if images_NCHW.shape[-1] == side:
        return images_NCHW.float()
    return functional.interpolate(images_NCHW.float(), size=(side, side), mode="bilinear", antialias=True)
