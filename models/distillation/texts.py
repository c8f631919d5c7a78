"""What the trainings of all text models share: tokens of a split, batches of similar length, outputs of a network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.data.texts import load_texts
from stillhouse.models.distillation.batches import DistillationBatches, seed_generator, shuffle
from stillhouse.models.runtime.tokens import TOKENIZER, Tokenizer, split_by_length
from stillhouse.models.training.loop import Batch
from stillhouse.models.training.ready import ready

CHUNK = 16
"""Batches whose texts are sorted by length together, so that a batch needs little padding."""
AT_ONCE = 128


@dataclass(frozen=True)
class TextBatches(DistillationBatches):
    """Batches of texts of similar length."""

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (ids_BT, labels_B, teacher_answers_BK), and further answers if there are any."""
        generator = seed_generator(self.seed, epoch)
        lengths_N, batches = (self.views[0] != 0).sum(1), list[Tensor]()
        for chunk in shuffle(len(lengths_N), batch_size * CHUNK, generator):
            batches += chunk[lengths_N[chunk].argsort(stable=True)].split(batch_size)
        for place in torch.randperm(len(batches), generator=generator).tolist():
            index_B = batches[place]
            yield ready(self.views[0, index_B]), self.labels_N[index_B], *(each[0, index_B] for each in self.answers)


def tokens_of(data: Path, split: str, teacher: Path) -> Tensor:
    """Return the tokens (N, T) of a split.

    Args:
        data: the materialised dataset.
        split: name of the split.
        teacher: folder with the teacher's tokenizer.
    """
    return torch.from_numpy(Tokenizer(teacher / TOKENIZER).ids_of(load_texts(data, split)))


def ask_about(
    ids_NT: Tensor, labels_N: Tensor, ask: Callable[[Tensor], tuple[Tensor, ...]], seed: int
) -> DistillationBatches:
    """Return batches of texts with the teacher's answers. Texts of similar length need little padding together."""
    order = (ids_NT != 0).sum(1).argsort(stable=True)
    answers = [answer[order.argsort()][None] for answer in ask(ids_NT[order])]
    return TextBatches(ids_NT[None], tuple(answers), labels_N, seed)


@torch.no_grad()
def run_on_texts(module: nn.Module, ids_NT: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the outputs (N, K) of a module in fp32. Texts of similar length run together."""
    module.eval()
    batches = split_by_length(ids_NT, AT_ONCE)
    outputs_NK = torch.cat([module(ready(torch.from_numpy(ids_NT[places]))) for places in batches])
    return outputs_NK.numpy()[np.argsort(np.concatenate(batches))]
