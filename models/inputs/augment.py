"""Random views of whole batches of images, made in memory."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_and_shift(images_NCHW: Tensor, generator: torch.Generator, most: int = 2) -> Tensor:
    """Mirror half of the images at random and move each by up to `most` pixels, filling with zeros."""
    count, _, height, width = images_NCHW.shape
    padded = functional.pad(images_NCHW, (most, most, most, most))
    mirrored_N = torch.rand(count, generator=generator) < 0.5  # noqa: PLR2004 - a fair coin
    padded = torch.where(mirrored_N[:, None, None, None], padded.flip(3), padded)
    top_N11 = torch.randint(0, 2 * most + 1, (count, 1, 1), generator=generator)
    left_N11 = torch.randint(0, 2 * most + 1, (count, 1, 1), generator=generator)
    rows_NH1 = top_N11 + torch.arange(height)[None, :, None]
    columns_N1W = left_N11 + torch.arange(width)[None, None, :]
    return padded[torch.arange(count)[:, None, None], :, rows_NH1, columns_N1W].permute(0, 3, 1, 2)
