"""Training batches of a teacher: pictures with prompts and noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.models.distillation.batches import seed_generator, shuffle
from stillhouse.models.training.loop import Batch

UNCONDITIONAL = 0.1
"""Share of the pictures that are learned without their prompt, for guidance."""


@dataclass(frozen=True)
class PromptedBatches:
    """Pictures in a new order every epoch, each with a random prompt for it, noise and a moment."""

    images_NCHW: Tensor
    keys_N: Tensor
    """What a prompt of the picture asks for: class and style."""
    codes_ML: Tensor
    """Code points of all prompts."""
    places: Mapping[int, Tensor]
    """Key -> places of its prompts."""
    seed: int
    centre: float = 0.0
    """Centre of the moments. Below 0 there is more noise."""

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.keys_N) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images_BCHW, keys_B, codes_BL, noise_BP, moments_B1, asked_B1).

        Moments are logit-normal, because the middle of the way is the hardest part (Esser 2024, arXiv:2403.03206).
        `asked` is 0 for a picture that is learned without its prompt.
        """
        generator = seed_generator(self.seed, epoch)
        for index_B in shuffle(len(self.keys_N), batch_size, generator):
            images_BCHW, keys_B = self.images_NCHW[index_B], self.keys_N[index_B]
            chances_B = torch.rand(len(index_B), generator=generator).tolist()
            own = [
                self.places[key][int(chance * len(self.places[key]))]
                for key, chance in zip(keys_B.tolist(), chances_B, strict=True)
            ]
            noise_BP = torch.randn(images_BCHW.flatten(1).shape, generator=generator)
            moments_B1 = (self.centre + torch.randn(len(index_B), 1, generator=generator)).sigmoid()
            asked_B1 = (torch.rand(len(index_B), 1, generator=generator) >= UNCONDITIONAL).float()
            yield images_BCHW, keys_B, self.codes_ML[torch.stack(own)], noise_BP, moments_B1, asked_B1


def by_key(keys_N: NDArray[np.int64]) -> dict[int, Tensor]:
    """Return key -> places of its rows."""
    order_N = np.argsort(keys_N, kind="stable")
    keys_K, starts_K = np.unique(keys_N[order_N], return_index=True)
    return dict(zip(keys_K.tolist(), map(torch.from_numpy, np.split(order_N, starts_K[1:])), strict=True))
