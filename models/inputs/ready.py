"""Raw inputs of one batch -> what a network takes while it trains or is asked."""

import torch
from torch import Tensor


def ready(batch: Tensor) -> Tensor:
    """Give images (B, C, H, W) as floats, channels last; code points (B, L) as int64, no longer than they need be."""
    if batch.ndim == 4:  # noqa: PLR2004 - images
        return batch.float().contiguous(memory_format=torch.channels_last)
    longest = int((batch > 0).sum(1).max())
    return batch[:, :longest].long()
