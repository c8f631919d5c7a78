"""Other views of printed lines: another contrast, another brightness, a little noise, and a little further right."""

import torch
from torch import Tensor

CONTRAST = (0.6, 1.2)
"""Lowest and highest factor of the distance from the mean."""
BRIGHTNESS = 30.0
"""Largest change of all pixels."""
NOISE = 8.0
"""Largest standard deviation of the noise."""
FURTHER = 6
"""Most pixels that a line moves to the right. As many are lost at its right end."""


def reprint(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Return another view of each line: raw pixels (N, C, H, W), uint8."""
    return torch.stack([_reprint(image_CHW, generator) for image_CHW in images_NCHW])


def _reprint(image_CHW: Tensor, generator: torch.Generator) -> Tensor:
    """Change one line. A whole split as floats would need four times its memory."""
    contrast, brightness, noise = torch.rand(3, generator=generator).tolist()
    moved = int(torch.randint(0, FURTHER + 1, (1,), generator=generator))
    levels_CHW = torch.cat([image_CHW[:, :, :1].expand(-1, -1, moved), image_CHW], 2)[
        :, :, : image_CHW.shape[2]
    ].float()
    middle = levels_CHW.mean()
    factor = CONTRAST[0] + contrast * (CONTRAST[1] - CONTRAST[0])
    levels_CHW = middle + factor * (levels_CHW - middle) + (2 * brightness - 1) * BRIGHTNESS
    levels_CHW += noise * NOISE * torch.randn(levels_CHW.shape, generator=generator)
    whole_CHW: Tensor = levels_CHW.round().clamp(0, 255).to(torch.uint8)
    return whole_CHW
