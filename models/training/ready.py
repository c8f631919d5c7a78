"""Raw inputs of one batch -> what a network takes while it trains or is asked."""

import torch
from torch import Tensor


def ready(batch: Tensor) -> Tensor:
    """Give images (B, C, H, W) as floats, channels last; samples (B, T), of 16 bits or floats already, as floats.

    Code points (B, L) become int64, no longer than they need be.
    """
    if batch.ndim == 4:  # noqa: PLR2004 - images
        return batch.float().contiguous(memory_format=torch.channels_last)
    if batch.dtype in {torch.int16, torch.float32}:
        return batch.float()
    longest = int((batch > 0).sum(1).max())
    return batch[:, :longest].long()
