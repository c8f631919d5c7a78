"""Convert the raw inputs of one batch to the input of a network."""

import torch
from torch import Tensor


def ready(batch: Tensor) -> Tensor:
    """Convert raw inputs to the input of a network. The data type tells the kind of input.

    Pixels (B, C, H, W), uint8, become floats, channels last. Code points (B, L), int32 or int64, become int64, without
    unneeded padding. Samples (B, T), int16, and other numbers become floats.
    """
    if batch.dtype == torch.uint8:
        return ready_images(batch)
    if batch.dtype in {torch.int32, torch.int64}:
        longest = int((batch > 0).sum(1).max())
        return batch[:, :longest].long()
    return batch.float()


def ready_images(batch: Tensor) -> Tensor:
    """Convert images (B, C, H, W) of any number type to floats, channels last."""
    return batch.float().contiguous(memory_format=torch.channels_last)
