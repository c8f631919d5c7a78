"""Prepare raw pixels inside the network, as an image processor of the transformers library does outside of it.

Resizing and cropping are one product with a constant matrix along each axis. Pillow computes the matrices, so each of
its filters is possible. Pillow rounds the pixels after each axis, and this module does not.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

BICUBIC, LANCZOS = 3, 1
"""Numbers of Pillow's filters that can leave the range of the pixels."""
BRIGHTEST = 255.0


class Preparation(nn.Module):
    """Resize, crop, rescale and normalise raw pixels. If the model has colours and the data is grey, repeat it."""

    rows_UH: Tensor | None
    columns_WV: Tensor | None
    scale_C11: Tensor
    shift_C11: Tensor

    def __init__(  # noqa: PLR0913 - one argument for each part of the preparation
        self,
        *,
        side: Sequence[int],
        resized: Sequence[int],
        cropped: Sequence[int],
        resample: int,
        scale: Sequence[float],
        shift: Sequence[float],
    ) -> None:
        """Build.

        Args:
            side: height and width of the raw pictures.
            resized: height and width after resizing.
            cropped: height and width after cutting out the middle.
            resample: number of Pillow's filter.
            scale: factor of the pixels of each of the model's channels.
            shift: number that is subtracted from each channel after that.
        """
        super().__init__()
        self.side = tuple(side)
        whole = self.side == tuple(resized) == tuple(cropped)
        rows_UH, columns_WV = (None, None) if whole else _matrices(side, resized, cropped, resample)
        self.clips = not whole and resample in {BICUBIC, LANCZOS}
        self.shifts = any(shift)
        self.register_buffer("rows_UH", rows_UH, persistent=False)
        self.register_buffer("columns_WV", columns_WV, persistent=False)
        self.register_buffer("scale_C11", torch.tensor(list(scale))[:, None, None], persistent=False)
        self.register_buffer("shift_C11", torch.tensor(list(shift))[:, None, None], persistent=False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) to the model's input (N, channels, U, V)."""
        if self.rows_UH is not None and self.columns_WV is not None:
            images_NCHW = self._clip(self.rows_UH @ self._clip(images_NCHW @ self.columns_WV))
        scaled_NCHW = images_NCHW * self.scale_C11
        return scaled_NCHW - self.shift_C11 if self.shifts else scaled_NCHW

    def _clip(self, images: Tensor) -> Tensor:
        """Keep to the range of the pixels after each axis, as Pillow does."""
        return images.clamp(0.0, BRIGHTEST) if self.clips else images


def _matrices(
    side: Sequence[int], resized: Sequence[int], cropped: Sequence[int], resample: int
) -> tuple[Tensor, Tensor]:
    made = [_axis(*lengths, resample) for lengths in zip(side, resized, cropped, strict=True)]
    rows_UH, columns_WV = torch.from_numpy(made[0].T.copy()), torch.from_numpy(made[1].copy())
    return rows_UH, columns_WV


def _axis(length: int, resized: int, cropped: int, resample: int) -> NDArray[np.float32]:
    """Return the matrix (length, cropped) that resizes one axis and keeps its middle. Beyond the picture it is 0."""
    unit = Image.fromarray(np.eye(length, dtype=np.float32))
    whole = np.asarray(unit.resize((resized, length), Image.Resampling(resample)), np.float32)
    beyond = max(cropped - resized, 0)
    padded = np.pad(whole, ((0, 0), (beyond - beyond // 2, beyond // 2)))
    start = max(resized - cropped, 0) // 2
    return padded[:, start : start + cropped]
