"""Augmentations of whole batches of images, on the device where the images are. Random numbers come from the CPU."""

import torch
from torch import Tensor
from torch.nn import functional


def flip(images_NCHW: Tensor, mirrored_N: Tensor) -> Tensor:
    """Mirror the images for which `mirrored_N` (bool) is true."""
    return torch.where(mirrored_N[:, None, None, None].to(images_NCHW.device), images_NCHW.flip(3), images_NCHW)


def shift(images_NCHW: Tensor, generator: torch.Generator, most: int = 1) -> Tensor:
    """Shift each image at random by up to `most` pixels in each direction. Empty borders are zero."""
    count, _, height, width = images_NCHW.shape
    padded = functional.pad(images_NCHW, (most, most, most, most))
    top_N, left_N = (torch.randint(0, 2 * most + 1, (count,), generator=generator) for _ in range(2))
    windows_NCTLHW = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows_NCTLHW[torch.arange(count), :, top_N, left_N]


def erase(images_NCHW: Tensor, generator: torch.Generator, share: float = 0.5, side: float = 0.3) -> Tensor:
    """Zero one square in a `share` of the images (random erasing, Zhong et al. 2017, arXiv:1708.04896).

    The paper draws the area and the proportions of the rectangle at random and fills it with noise. Here the rectangle
    is a square, black like the padding, so that one pass erases a whole batch. `side` is its length as a share of the
    shorter image side.
    """
    count, _, height, width = images_NCHW.shape
    size = max(1, round(side * min(height, width)))
    chosen_N1 = torch.rand((count, 1), generator=generator) < share
    rows_NH, columns_NW = (_band(count, length, size, generator) for length in (height, width))
    square_NHW = (rows_NH & chosen_N1)[:, :, None] & columns_NW[:, None, :]
    return images_NCHW.masked_fill(square_NHW[:, None].to(images_NCHW.device), 0)


def mix_up(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Blend each image with another image, whose share is between 0 and 1/2 (mixup, Zhang 2017, arXiv:1710.09412).

    Args:
        images_NCHW: raw pixels, uint8. The result is uint8 too.
        generator: chooses the partners and the shares.
    """
    partner_N = torch.randperm(len(images_NCHW), generator=generator)
    share_N111 = 0.5 * torch.rand(len(images_NCHW), 1, 1, 1, generator=generator).to(images_NCHW.device)
    return torch.lerp(images_NCHW.float(), images_NCHW[partner_N].float(), share_N111).round().to(torch.uint8)


def _band(count: int, length: int, size: int, generator: torch.Generator) -> Tensor:
    """Mark `size` consecutive positions out of `length` at a random place, for each of `count` rows (bool)."""
    first_N1 = torch.randint(0, length - size + 1, (count, 1), generator=generator)
    places_1L = torch.arange(length)[None]
    return (places_1L >= first_N1) & (places_1L < first_N1 + size)


def resize(images_NCHW: Tensor, side: int) -> Tensor:
    """Resize raw pixels to (N, C, side, side) floats. Images of that size already are returned unchanged."""
    if images_NCHW.shape[-1] == side:
        return images_NCHW.float()
    return functional.interpolate(images_NCHW.float(), size=(side, side), mode="bilinear", antialias=True)
