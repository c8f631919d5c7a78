"""Processes that train one model together. Each has its share of every batch, and all average their gradients.

Every process makes the same batches in the same order. So neither the batches nor a checkpoint depend on the number of
processes. Norms over a batch, and losses that compare the examples of a batch, see one process's share.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn

from stillhouse.models.aside import write_aside
from stillhouse.models.training.device import accelerator, training_device


def is_first() -> bool:
    """Tell whether this process is the one that writes and scores. A process alone is."""
    return bool(accelerator().is_main_process)


def first_before_others() -> AbstractContextManager[None]:
    """Return a context that the first process of each host leaves before the others of that host enter it."""
    context: AbstractContextManager[None] = accelerator().local_main_process_first()
    return context


def share_of(batch: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], float]:
    """Return this process's rows of a batch, and the factor of their mean loss in the mean over all processes.

    A batch with fewer rows than processes is not shared.
    """
    count, rank = accelerator().num_processes, accelerator().process_index
    rows = len(batch[0])
    if count == 1 or min(map(len, batch)) < count:
        return batch, 1.0
    mine = tuple(part[rank::count] for part in batch)
    return mine, len(mine[0]) * count / rows


def average(loss: Tensor, model: nn.Module) -> float:
    """Average a loss, a scalar, and the gradients of a model over all processes, in place. Returns the loss."""
    if accelerator().num_processes == 1:
        return loss.item()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    parts = [loss.detach().reshape(1), *(gradient.flatten() for gradient in gradients)]
    mean, *means = accelerator().reduce(torch.cat(parts), "mean").split([len(part) for part in parts])
    for gradient, new in zip(gradients, means, strict=True):
        gradient.copy_(new.view_as(gradient))
    return float(mean)


def share_file(path: Path) -> None:
    """Give every host the first process's file. If the first process has none, the other hosts have none either."""
    if accelerator().num_processes == int(os.environ.get("LOCAL_WORLD_SIZE", "1")):
        return  # all processes see the same file
    content = _broadcast(path.read_bytes() if is_first() and path.exists() else b"")
    with first_before_others():
        if not accelerator().is_local_main_process or is_first():
            return
        path.unlink(missing_ok=True)
        if content:
            with write_aside(path) as aside:
                aside.write_bytes(content)


def _broadcast(content: bytes) -> bytes:
    """Return the bytes of the first process."""
    from accelerate.utils import broadcast

    size = int(broadcast(torch.tensor([len(content)]).to(training_device())))
    if size == 0:
        return b""
    own = torch.frombuffer(bytearray(content or size), dtype=torch.uint8)
    received: Tensor = broadcast(own.to(training_device()))
    return received.cpu().numpy().tobytes()


def agree(model: nn.Module) -> None:
    """Give every process the numbers of the first one. Running means of norms differ otherwise."""
    if accelerator().num_processes > 1:
        from accelerate.utils import broadcast

        model.load_state_dict({name: broadcast(tensor.clone()) for name, tensor in model.state_dict().items()})
