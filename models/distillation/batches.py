"""Training batches of a student: every input in a few fixed views, with the teacher's outputs for each view."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.models.data.rows import Rows
from stillhouse.models.training.loop import Batch
from stillhouse.models.training.ready import ready

FIRST_VIEWS = 1_000_002
"""A position in the random sequence that no epoch uses."""


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
    views: Sequence[Callable[[], Tensor]],
    labels_N: Tensor,
    ask: Callable[[Tensor], tuple[Tensor, ...]],
    seed: int,
    progress: Callable[[str], None],
    at_once: int | None = None,
) -> DistillationBatches:
    """Make every view of all examples, and ask the teacher about each one. One view at a time is in memory.

    Args:
        views: functions that return raw inputs (N, ...).
        labels_N: class indices.
        ask: returns the teacher's logits (N, K), then features (N, D).
        seed: of the batches.
        progress: is told the number of the view.
        at_once: examples that the teacher answers at once. None: all.
    """
    made, answers = Rows(), defaultdict[int, Rows](Rows)
    for number, make in enumerate(views, start=1):
        raw_N = make()
        parts = raw_N.split(at_once or len(raw_N))
        asked = list[tuple[Tensor, ...]]()
        for place, part in enumerate(parts):
            some = f", {place * len(parts[0]):,} of {len(raw_N):,}" if len(parts) > 1 else ""
            progress(f"asking the teacher, view {number}/{len(views)}{some}")
            asked.append(ask(part))
        made.append(raw_N)
        for output, same in enumerate(zip(*asked, strict=True)):
            answers[output].append(torch.cat(same))
    return DistillationBatches(made, tuple(answers.values()), labels_N, seed)


def shuffle(count: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Yield the numbers below `count` in random order, in batches."""
    return torch.split(torch.randperm(count, generator=generator), batch_size)


def seed_generator(seed: int, position: int) -> torch.Generator:
    """Return the random generator of one position, such as an epoch, in the random sequence of a seed."""
    return torch.Generator().manual_seed(seed * 1_000_003 + position)
