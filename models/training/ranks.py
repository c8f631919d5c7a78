"""Processes that train one model together. Each has its share of every batch, and all average their gradients.

Every process makes the same batches in the same order. So neither the batches nor a checkpoint depend on the number of
processes. Norms over a batch, and losses that compare the examples of a batch, see one process's share.
"""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from stillhouse.models.training.device import accelerator


def is_first() -> bool:
    """Tell whether this process is the one that writes and scores. A process alone is."""
    return bool(accelerator().is_main_process)


def first_before_others() -> AbstractContextManager[None]:
    """Return a context that the first process leaves before the others enter it."""
    context: AbstractContextManager[None] = accelerator().main_process_first()
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


def agree(model: nn.Module) -> None:
    """Give every process the numbers of the first one. Running means of norms differ otherwise."""
    if accelerator().num_processes > 1:
        from accelerate.utils import broadcast

        model.load_state_dict({name: broadcast(tensor.clone()) for name, tensor in model.state_dict().items()})
