"""The only training loop. It trains teachers, students by distillation, and models after structural edits.

The loop writes a checkpoint after every epoch. After a kill it continues from the checkpoint to the same final weights,
because the order of the data and the learning rate depend only on the seed and the position. The caller's objective
defines what is learned.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from stillhouse.models.errors import DivergedError
from stillhouse.models.training.checkpoint import load_tensors, save_tensors
from stillhouse.models.training.device import Precision, explain_device, multiply_in, to_device, training_device
from stillhouse.models.training.muon import Muon
from stillhouse.models.training.ranks import agree, average, is_first, share_file, share_of

Batch = tuple[Tensor, ...]
Objective = Callable[[nn.Module, Batch], Tensor]
"""Loss of one batch, a scalar."""
SECONDS_BETWEEN_PROGRESS = 4.0


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to train."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    optimizer: Literal["sgd", "adamw", "muon", "muon_adamw", "muon_all"]
    precision: Precision
    warmup: float
    """Share of all steps in which the learning rate rises."""
    seed: int


class BatchSource(Protocol):
    """Source of training batches."""

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield the batches of one epoch, the same ones at every call."""


class ProgressReporter(Protocol):
    """Receives the progress of a training."""

    def progress(self, line: str) -> None:
        """Show one line to the user."""

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of one epoch."""


def fit(  # noqa: PLR0913 - the whole contract of training, each part named by its caller
    model: nn.Module,
    feed: BatchSource,
    objective: Objective,
    plan: TrainConfig,
    *,
    checkpoint: Path,
    score: Callable[[nn.Module], float],
    watcher: ProgressReporter,
) -> None:
    """Train `model` in place, on a GPU if there is one. It is on the CPU for `score` and at the end.

    If `checkpoint` exists, continue from it. Where torchrun has started several processes, they train one model.

    Raises:
        DivergedError: the loss became NaN or infinite.
        ModelError: the GPU has no memory left, or does not answer.
    """
    share_file(checkpoint)
    model.to(training_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # as torch's stubs lack it
    optimizer = _optimizer(model, plan)
    for epoch in range(_resume(checkpoint, model, optimizer), plan.epochs):
        with explain_device():
            loss = _train_epoch(model, feed, objective, optimizer, plan, epoch, watcher)
        quality = score(model.cpu()) if is_first() else math.nan
        watcher.record(epoch + 1, {"train_loss": loss, "validation_quality": quality})
        watcher.progress(f"epoch {epoch + 1}/{plan.epochs}, loss {loss:.4f}, validation quality {quality:.2%}")
        if is_first():
            _save(checkpoint, model, optimizer, epoch + 1)
    agree(model.cpu())


def _train_epoch(  # noqa: PLR0913, PLR0917 - the loop's state, passed on
    model: nn.Module,
    feed: BatchSource,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    plan: TrainConfig,
    epoch: int,
    watcher: ProgressReporter,
) -> float:
    device = training_device()
    model.to(device).train()
    steps = feed.batches_per_epoch(plan.batch_size)
    total, told = 0.0, time.monotonic()
    for step, batch in enumerate(feed.epoch(epoch, plan.batch_size)):
        _set_learning_rate(optimizer, plan, epoch + step / steps)
        with multiply_in(plan.precision):
            mine, weight = share_of(batch)
            loss = weight * objective(model, tuple(map(to_device, mine)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        value = average(loss, model)
        if not math.isfinite(value):
            msg = (
                f"the loss became {value} in epoch {epoch + 1}, step {step + 1}; lower the learning rate "
                f"(now {plan.learning_rate}) or train in fp32"
            )
            raise DivergedError(msg)
        with multiply_in(plan.precision):
            optimizer.step()
        total += value
        if time.monotonic() - told > SECONDS_BETWEEN_PROGRESS:
            told = time.monotonic()
            share = (step + 1) / steps
            watcher.progress(f"epoch {epoch + 1}/{plan.epochs}, {share:.0%}, loss {total / (step + 1):.4f}")
    return total / steps


def learning_rate(plan: TrainConfig, position: float) -> float:
    """Return the learning rate: it rises linearly over the warm-up, then falls to zero along a cosine.

    Args:
        plan: the peak rate, the epochs and the share of warm-up.
        position: number of finished epochs, with fractions.
    """
    share = position / plan.epochs
    if share < plan.warmup:
        return plan.learning_rate * (0.05 + 0.95 * share / plan.warmup)
    fall = (share - plan.warmup) / (1 - plan.warmup) if plan.warmup < 1 else 0.0
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


def _set_learning_rate(optimizer: torch.optim.Optimizer, plan: TrainConfig, position: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(plan, position)


def _optimizer(model: nn.Module, plan: TrainConfig) -> torch.optim.Optimizer:
    if plan.optimizer.startswith("muon"):
        trained, linear = (p for p in model.parameters() if p.requires_grad), plan.optimizer == "muon_all"
        adam = linear or plan.optimizer == "muon_adamw"
        return Muon(trained, plan.learning_rate, plan.weight_decay, adam=adam, linear=linear)
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    free = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=plan.learning_rate)
    return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=0.9, nesterov=True)


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epochs_done: int) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    save_tensors(path, tensors, {"epochs_done": str(epochs_done)})


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    tensors, notes = load_tensors(path)
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(notes["epochs_done"])
