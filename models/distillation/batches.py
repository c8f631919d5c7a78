"""Training batches of a student: every input in a few fixed views, with the teacher's outputs for each view."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stillhouse.models.training.loop import Batch
from stillhouse.models.training.ready import ready
from stillhouse.models.training.rows import AT_ONCE, Rows, parts_of

FIRST_VIEWS = 1_000_002
"""A position in the random sequence that no epoch uses."""


class Shown(Protocol):
    """Raw inputs (N, ...) by their places."""

    def __getitem__(self, places: slice, /) -> Tensor:
        """Return some of them."""


@dataclass(frozen=True)
class DistillationBatches:
    """Batches of fixed views. The epochs use the views in turn."""

    views: Tensor | Rows
    """Raw inputs (V, N, ...)."""
    answers: tuple[Tensor | Rows, ...]
    """Logits or vectors (V, N, K), then features (V, N, D) if the distillation uses features."""
    labels_N: Tensor
    seed: int

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.labels_N) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (inputs, labels_B, answers_BK), and teacher_features_BD if the distillation uses features."""
        views, count = self.views.shape[:2]
        first_N = torch.randint(0, views, (count,), generator=seed_generator(self.seed, FIRST_VIEWS))
        for index_B in shuffle(count, batch_size, seed_generator(self.seed, epoch)):
            view_B = (first_N[index_B] + epoch) % views
            inputs = ready(self.views[view_B, index_B])
            yield inputs, self.labels_N[index_B], *(answer[view_B, index_B].float() for answer in self.answers)


def ask_about_views(  # noqa: PLR0913, PLR0917 - what a view is made of, whom to ask, and how much at once
    views: Sequence[Callable[[], Shown]],
    labels_N: Tensor,
    ask: Callable[[Tensor], tuple[Tensor, ...]],
    seed: int,
    progress: Callable[[str], None],
    at_once: int = AT_ONCE,
) -> DistillationBatches:
    """Make every view of all examples, and ask the teacher about each one. Only what is asked at once is in memory.

    Args:
        views: functions that return raw inputs (N, ...), as a tensor or as what makes them where they are read.
        labels_N: class indices.
        ask: returns the teacher's logits (N, K), then features (N, D).
        seed: of the batches.
        progress: is told the number of the view.
        at_once: examples that the teacher answers at once.
    """
    count = len(labels_N)
    made, answers = Rows(count), defaultdict[int, Rows](lambda: Rows(count))
    for number, make in enumerate(views, start=1):
        view = make()
        for places in parts_of(count, at_once):
            some = f", {places.start:,} of {count:,}" if count > at_once else ""
            progress(f"asking the teacher, view {number}/{len(views)}{some}")
            raw_B = view[places]
            made.append(raw_B)
            for output, answer in enumerate(ask(raw_B)):
                answers[output].append(answer)
    return DistillationBatches(made, tuple(answers.values()), labels_N, seed)


def shuffle(count: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Yield the numbers below `count` in random order, in batches."""
    return torch.split(torch.randperm(count, generator=generator), batch_size)


def seed_generator(seed: int, position: int) -> torch.Generator:
    """Return the random generator of one position, such as an epoch, in the random sequence of a seed."""
    return torch.Generator().manual_seed(seed * 1_000_003 + position)
