"""Training examples of image classification, on disk, and the views of them that a training sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from stillhouse.models.augmentation.augment import blend, draw_partners, draw_shifts, erase, flip, resize, shift
from stillhouse.models.data.images import describe_images, images_of
from stillhouse.models.distillation.batches import seed_generator, shuffle
from stillhouse.models.training.device import to_device
from stillhouse.models.training.loop import Batch
from stillhouse.models.training.ready import ready_images
from stillhouse.models.training.rows import Rows, parts_of

COINS = 1_000_001
"""A position in the random sequence that no epoch uses."""
DECODED = 1_024
"""Images that are decoded at once."""
LEVELS = 256


@dataclass(frozen=True)
class Examples:
    """One split. Its images lie on disk, so memory does not grow with their number."""

    images_NCHW: Tensor | Rows
    """Raw pixels, uint8."""
    labels_N: Tensor
    """Class indices, int64."""

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.labels_N)


def load_examples(folder: Path, split: str) -> Examples:
    """Copy a split of a materialised dataset to rows, some images at a time.

    Raises:
        ModelError: the dataset has no such split, or its splits hold no images.
    """
    description, rows, labels = describe_images(folder, split), Rows(), [torch.zeros(0, dtype=torch.int64)]
    for shard in description["splits"][split]["shards"]:
        with pq.ParquetFile(folder / shard["path"]) as file:
            for batch in file.iter_batches(DECODED, columns=["image", "label"]):
                images = images_of(pa.table(batch), description)
                rows.append(torch.from_numpy(images.images_NCHW))
                labels.append(torch.from_numpy(images.labels_N))
    return Examples(rows, torch.cat(labels))


def spread_of(examples: Examples) -> float:
    """Return the standard deviation of all pixels."""
    counts_L = torch.zeros(LEVELS, dtype=torch.int64)
    for places in parts_of(len(examples), DECODED):
        counts_L += torch.bincount(examples.images_NCHW[places].flatten(), minlength=LEVELS)
    levels_L = torch.arange(LEVELS)
    count, total, squares = (int((counts_L * levels_L**power).sum()) for power in range(3))
    return float(np.sqrt((count * squares - total**2) / count**2))


@dataclass(frozen=True)
class LabelledBatches:
    """Images and labels in a new order every epoch. With `augment` and `erase`, each epoch has a new view."""

    examples: Examples
    seed: int
    augment: bool
    resolutions: tuple[int, ...] | None
    """Side of the images in each epoch. None keeps the original size."""
    erase: bool = False

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.examples) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images_BCHW, labels_B)."""
        generator, eraser = seed_generator(self.seed, epoch), seed_generator(self.seed + 2, epoch)
        mirrored_N = _choose_mirrored(len(self.examples), self.seed, epoch)
        side = self.resolutions[epoch] if self.resolutions else self.examples.images_NCHW.shape[-1]
        for index_B in shuffle(len(self.examples), batch_size, generator):
            images_BCHW = to_device(self.examples.images_NCHW[index_B])
            if self.augment:
                images_BCHW = flip(images_BCHW, mirrored_N[index_B])
            if self.erase:
                images_BCHW = erase(images_BCHW, eraser)
            yield ready_images(resize(images_BCHW, side)), self.examples.labels_N[index_B]


@dataclass(frozen=True)
class View:
    """A view of all images (N, C, H, W), made where it is read.

    View 0 is the images themselves. Later views are mirrored and shifted.
    """

    images_NCHW: Tensor | Rows
    seed: int
    number: int

    def __getitem__(self, places: Tensor | slice) -> Tensor:
        """Return the view of some images (B, C, H, W)."""
        images_BCHW = self.images_NCHW[places]
        if self.number == 0:
            return images_BCHW
        mirrored_N, top_N, left_N = self._moves
        return shift(flip(images_BCHW, mirrored_N[places]), top_N[places], left_N[places])

    @cached_property
    def _moves(self) -> tuple[Tensor, Tensor, Tensor]:
        count = len(self.images_NCHW)
        top_N, left_N = draw_shifts(count, seed_generator(self.seed + 1, self.number))
        return _choose_mirrored(count, self.seed, self.number), top_N, left_N


@dataclass(frozen=True)
class Blend:
    """A blend of all images (N, C, H, W), made where it is read: a view of each image, mixed with another image."""

    images_NCHW: Tensor | Rows
    seed: int
    number: int

    def __getitem__(self, places: Tensor | slice) -> Tensor:
        """Return the blends of some images (B, C, H, W)."""
        partner_N, share_N = self._partners
        return blend(self._view[places], self._view[partner_N[places]], share_N[places])

    @cached_property
    def _view(self) -> View:
        return View(self.images_NCHW, self.seed, self.number + 1)

    @cached_property
    def _partners(self) -> tuple[Tensor, Tensor]:
        return draw_partners(len(self.images_NCHW), seed_generator(self.seed + 3, self.number))


def _choose_mirrored(count: int, seed: int, turn: int) -> Tensor:
    """Choose half of the images at random to be mirrored, and the other half in every second turn."""
    coin_N = torch.rand(count, generator=seed_generator(seed, COINS)) < 0.5  # noqa: PLR2004 - a fair coin
    return coin_N ^ bool(turn % 2)
