"""Raw inputs of one batch -> what a network takes while it trains or is asked."""

import torch
from torch import Tensor


def ready(batch: Tensor) -> Tensor:
    """Give raw inputs as a network takes them; their type says what they are.

    Pixels (B, C, H, W), uint8, become floats, channels last. Code points (B, L), int32 or int64, become int64, no
    longer than they need be. Samples (B, T), int16, and other numbers become floats.
    """
    if batch.dtype == torch.uint8:
        return ready_images(batch)
    if batch.dtype in {torch.int32, torch.int64}:
        longest = int((batch > 0).sum(1).max())
        return batch[:, :longest].long()
    return batch.float()


def ready_images(batch: Tensor) -> Tensor:
    """Give images (B, C, H, W) of any number type as floats, channels last."""
    return batch.float().contiguous(memory_format=torch.channels_last)
