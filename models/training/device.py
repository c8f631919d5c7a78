"""Where a training runs and how precisely it multiplies, by Hugging Face accelerate. A GPU is used if there is one.

Checkpoints and batches stay ours: accelerate's `save_state` pickles, and its loaders change the order of batches.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from stillhouse.models.errors import ModelError

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["fp32", "bf16"]


def training_device() -> torch.device:
    """Return the device of trainings. `CUDA_VISIBLE_DEVICES=` hides the GPUs."""
    found: torch.device = accelerator().device
    return found


def to_device(part: Tensor) -> Tensor:
    """Copy a part of a batch to the training's device. A GPU computes while the copy runs, from pinned memory."""
    device = training_device()
    return part if part.device.type == device.type else part.pin_memory().to(device, non_blocking=True)


def multiply_in(precision: Precision) -> AbstractContextManager[None]:
    """Return the context in which matrices are multiplied in a precision: the model's, Muon's and the teacher's."""
    from accelerate.utils import AutocastKwargs

    context: AbstractContextManager[None] = accelerator().autocast(AutocastKwargs(enabled=precision == "bf16"))
    return context


@contextmanager
def explain_device() -> Iterator[None]:
    """Turn an error of the device into one sentence.

    Raises:
        ModelError: the device has no memory left, or does not answer.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        msg = "the GPU has no memory left; lower batch_size, or train on the CPU with CUDA_VISIBLE_DEVICES="
        raise ModelError(msg) from error
    except torch.AcceleratorError as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"the GPU does not answer ({reason}); look at it with nvidia-smi, and run again from the last epoch"
        raise ModelError(msg) from error


@cache
def accelerator() -> "Accelerator":
    """Return the one object of accelerate. Where torchrun has started this process, it joins the others.

    Without `cpu` accelerate does not join the processes of a host that has no GPU.
    """
    from accelerate import Accelerator

    return Accelerator(mixed_precision="bf16", cpu=not torch.accelerator.is_available())
