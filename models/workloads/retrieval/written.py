"""Text injection: a CTC student also learns to read written captions, recorded or not, as its teacher does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stillhouse.models.augmentation.misheard import as_heard
from stillhouse.models.distillation.batches import DistillationBatches, seed_generator
from stillhouse.models.training.loop import Batch
from stillhouse.models.workloads.retrieval.pairs import WRITTEN, load_spoken

READINGS = 3
"""Number of simulated hearings of each caption."""


@dataclass(frozen=True)
class TextInjectionBatches:
    """Distillation batches of recordings. WRITTEN random captions are added for each recording."""

    heard: DistillationBatches
    """Distillation batches of recordings. The teacher's outputs are vectors, then letters."""
    written: Tensor
    """Captions as heard letters (READINGS, M, 2, frames)."""
    read: Tensor
    """The teacher's vectors of these captions (READINGS, M, D)."""
    labels_M: Tensor

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return self.heard.batches_per_epoch(batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield the batch of `heard`, then captions (W, 2, frames), labels_W and the teacher's vectors (W, D)."""
        generator = seed_generator(self.heard.seed + 2, epoch)
        for batch in self.heard.epoch(epoch, batch_size):
            count = WRITTEN * len(batch[1])
            way_W = torch.randint(READINGS, (count,), generator=generator)
            row_W = torch.randint(len(self.labels_M), (count,), generator=generator)
            yield *batch, self.written[way_W, row_W], self.labels_M[row_W], self.read[way_W, row_W]


def text_injection_batches(
    folder: Path, heard: DistillationBatches, read: Callable[[Tensor], Tensor]
) -> TextInjectionBatches:
    """Let the teacher read all captions of the training split, in as many frames as a recording has.

    Args:
        folder: the materialised dataset.
        heard: distillation batches of recordings, with the teacher's vectors and letters.
        read: captions as heard letters (M, 2, frames) -> vectors (M, D).
    """
    spoken, frames = load_spoken(folder, "train"), heard.answers[1].shape[2]
    generators = (seed_generator(heard.seed + 3, way) for way in range(READINGS))
    written = [as_heard(spoken.written_ML, frames, spoken.letters - 1, generator) for generator in generators]
    return TextInjectionBatches(
        heard, torch.stack(written), torch.stack([*map(read, written)]), spoken.written_labels_M
    )
