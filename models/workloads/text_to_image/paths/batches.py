"""Training batches of a denoiser of few steps: the solved paths of its teacher."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stillhouse.models.distillation.batches import seed_generator, shuffle
from stillhouse.models.training.loop import Batch


@dataclass(frozen=True)
class SolvedBatches:
    """Noise, condition, and the picture that the teacher makes of them."""

    noise_NP: Tensor
    conditions_ND: Tensor
    ends_NP: Tensor
    """float16."""
    seed: int

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.noise_NP) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (noise_BP, conditions_BD, ends_BP, number), where number counts the batches of the epoch."""
        places = shuffle(len(self.noise_NP), batch_size, seed_generator(self.seed, epoch))
        for number, index_B in enumerate(places):
            row = self.noise_NP[index_B], self.conditions_ND[index_B], self.ends_NP[index_B].float()
            yield *row, torch.tensor(number)
