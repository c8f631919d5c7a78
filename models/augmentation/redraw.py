"""Augmentations of drawings: move, rotate, recolour, trace the outline, erase a part.

A retrieval model meets drawing styles that the training data does not have. Augmentations teach the model which
differences do not matter.
"""

import torch
from torch import Tensor
from torch.nn import functional

PAPER = 255
"""Value of an empty pixel."""
TURN, SHEAR, SHIFT = 0.1, 0.05, 0.12
"""Largest rotation in radians, largest shear, and largest shift as a share of half the side."""
SCALE, STRETCH = 0.25, 0.12
"""Largest deviation of the logarithm of the scale (centred on 1.1), and of the height-to-width ratio."""
MIX, GREY, OUTLINE, ERASE = 0.4, 0.1, 0.08, 0.12
"""Shares of drawings with mixed colours, with no colour, with only the outline traced, and with an erased square."""


def redrawn(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Augment every image (N, 3, H, W) of raw pixels, of any number type, at random. Returns floats."""
    ink_NCHW = 1 - images_NCHW.float() / PAPER
    ink_NCHW = _move(ink_NCHW, generator)
    ink_NCHW = _trace(_recolour(ink_NCHW, generator), generator)
    ink_NCHW = _with_a_hole(ink_NCHW, generator)
    return PAPER * (1 - ink_NCHW)


def _move(ink_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    count = len(ink_NCHW)
    turn, shear, across, down, scale, stretch = (_spread(count, generator) for _ in range(6))
    size, narrow = torch.exp(SCALE * scale) * 1.1, torch.exp(STRETCH * stretch)
    cos, sin = torch.cos(TURN * turn) * size, torch.sin(TURN * turn) * size
    rows = ([cos * narrow, SHEAR * shear - sin, SHIFT * across], [sin, cos / narrow, SHIFT * down])
    grid = functional.affine_grid(
        torch.stack([torch.stack(row, 1) for row in rows], 1), list(ink_NCHW.shape), align_corners=False
    )
    return functional.grid_sample(ink_NCHW, grid.to(ink_NCHW.device), padding_mode="zeros", align_corners=False)


def _recolour(ink_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Mix the three colour channels at random, turn some drawings grey, and change strength and contrast."""
    count = len(ink_NCHW)
    identity = torch.eye(3).expand(count, 3, 3)
    noise = 0.25 * torch.randn(count, 3, 3, generator=generator) * _choose(count, MIX, generator)[:, None, None]
    grey = _choose(count, GREY, generator)[:, None, None]
    mixing_N33 = (identity + noise) * (1 - grey) + grey / 3
    strength, contrast = (_spread(count, generator)[:, None, None, None] for _ in range(2))
    device = ink_NCHW.device
    mixed_NCHW = torch.einsum("nij,njhw->nihw", mixing_N33.to(device), ink_NCHW) * (1 + 0.3 * strength).to(device)
    return mixed_NCHW.clamp(0, 1) ** torch.exp(0.4 * contrast).to(device)


def _trace(ink_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Trace the outline of some drawings in black, over what is left of their colours."""
    chosen = _choose(len(ink_NCHW), OUTLINE, generator).nonzero()[:, 0].to(ink_NCHW.device)
    drawings = ink_NCHW[chosen]
    left = torch.rand(len(drawings), 1, 1, 1, generator=generator).to(ink_NCHW.device)
    thick = functional.max_pool2d(drawings, 3, 1, 1) + functional.max_pool2d(-drawings, 3, 1, 1)
    outline = (1.5 * thick.amax(1, keepdim=True)).clamp(0, 1)
    traced = ink_NCHW.clone()
    traced[chosen] = torch.maximum(left * drawings, outline)
    return traced


def _with_a_hole(ink_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    count, _, height, width = ink_NCHW.shape
    chosen = _choose(count, ERASE, generator).bool()
    side = height // 4
    top, left = (torch.randint(0, edge - side + 1, (count, 1), generator=generator) for edge in (height, width))
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    tall, wide = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    hole = (tall & chosen[:, None])[:, None, :, None] & wide[:, None, None, :]
    return ink_NCHW.masked_fill(hole.to(ink_NCHW.device), 0)


def _spread(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * 2 - 1


def _choose(count: int, share: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) < share).float()
