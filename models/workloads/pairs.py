"""Drawings with captions: a role in memory, and the feed from which a teacher's towers learn together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.inputs.augment import resized
from models.inputs.captions import Captions, load_captions
from models.inputs.images import load_images
from models.inputs.ready import ready
from models.inputs.redraw import redrawn
from models.inputs.text import codes_of
from models.training import Batch
from models.workloads.taught import seeded

NAME_ONLY, TAGS_ONLY = 0.5, 0.2
"""Shares of training captions that are the name, or a few tags; the others are the name and a few tags."""
MOST_TAGS = 4
DRAWINGS = 2
"""Of every concept in a batch, in different hands where there are two."""
CAPTIONS = 4
"""Of every concept in a batch: a sentence costs a hundredth of a drawing, and there are many more ways to say it."""


@dataclass(frozen=True)
class Pairs:
    """One role: drawings, what each shows, and what that is called."""

    images_NCHW: Tensor
    """Raw pixels, uint8."""
    labels_N: Tensor
    """Concepts, int64."""
    captions: Captions

    @cached_property
    def languages(self) -> list[str]:
        """All languages, sorted."""
        return sorted(set(self.captions.languages))

    @cached_property
    def rows(self) -> dict[tuple[int, str], int]:
        """Row of the captions for a concept and a language."""
        keys = zip(self.captions.labels_N.tolist(), self.captions.languages, strict=True)
        return {key: row for row, key in enumerate(keys)}

    def names(self, language: str) -> list[str]:
        """Name what each drawing shows."""
        return [self.captions.names[self.rows[label, language]] for label in self.labels_N.tolist()]


def load_pairs(folder: Path, role: str) -> Pairs:
    """Read a role of a materialised dataset."""
    images = load_images(folder, role)
    return Pairs(torch.from_numpy(images.images_NCHW), torch.from_numpy(images.labels_N), load_captions(folder))


@dataclass(frozen=True)
class PairFeed:
    """Concepts in random order, each with two drawings, redrawn, and a few captions in random languages."""

    pairs: Pairs
    seed: int
    redraw: bool
    resolutions: tuple[int, ...] | None = None
    """Side of the drawings in each epoch; None keeps their own."""

    @cached_property
    def drawings(self) -> list[list[int]]:
        """List the drawings of each concept."""
        found: list[list[int]] = [[] for _ in range(int(self.pairs.labels_N.max()) + 1)]
        for index, label in enumerate(self.pairs.labels_N.tolist()):
            found[label].append(index)
        return found

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch, in which as many concepts come up as there are captions."""
        return -(-len(self.pairs.captions) // self._concepts(batch_size))

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images, codes, labels_B): images (2 * B, C, H, W) are one drawing of every concept, then another.

        Codes (CAPTIONS * B, L) are one caption of every concept, then another, and so on.

        A concept with more drawings comes up more often, by the square root of their number.
        """
        chooser = np.random.default_rng((self.seed, epoch))
        generator = seeded(self.seed, epoch)
        weights_K = np.sqrt([len(found) for found in self.drawings])
        for _ in range(self.batches_per_epoch(batch_size)):
            chosen = chooser.choice(
                len(weights_K), self._concepts(batch_size), replace=False, p=weights_K / weights_K.sum()
            )
            twice = [_two(self.drawings[label], chooser) for label in chosen]
            index = torch.tensor([first for first, _ in twice] + [second for _, second in twice])
            images = ready(self.pairs.images_NCHW[index])
            if self.resolutions:
                images = resized(images, self.resolutions[epoch])
            captions = [self._caption(int(label), chooser) for _ in range(CAPTIONS) for label in chosen]
            yield (
                ready(redrawn(images, generator)) if self.redraw else images,
                torch.from_numpy(codes_of(captions)),
                torch.from_numpy(chosen),
            )

    def _concepts(self, batch_size: int) -> int:
        return min(batch_size, sum(map(bool, self.drawings)))

    def _caption(self, label: int, chooser: np.random.Generator) -> str:
        languages, captions = self.pairs.languages, self.pairs.captions
        row = self.pairs.rows[label, languages[chooser.integers(len(languages))]]
        return caption_of(captions.names[row], captions.tags[row], chooser)


def caption_of(name: str, tags: Sequence[str], chooser: np.random.Generator) -> str:
    """Say at random what a person might type: the name, a few tags, or both."""
    kind = chooser.random()
    if kind < NAME_ONLY or not tags:
        return name
    few = [tags[place] for place in chooser.permutation(len(tags))[: 1 + chooser.integers(MOST_TAGS)]]
    return " ".join(few if kind < NAME_ONLY + TAGS_ONLY else [name, *few])


def _two(drawings: list[int], chooser: np.random.Generator) -> tuple[int, int]:
    first, second = chooser.choice(drawings, 2, replace=len(drawings) == 1)
    return int(first), int(second)
