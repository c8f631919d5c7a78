"""Pictures with captions (written, optionally spoken): a split in memory, and training batches for the teacher."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stillhouse.models.augmentation.augment import resize
from stillhouse.models.augmentation.misheard import as_heard
from stillhouse.models.augmentation.redraw import redrawn
from stillhouse.models.augmentation.resay import augment_speech
from stillhouse.models.data.captions import Captions, load_captions
from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_gallery, load_images
from stillhouse.models.data.sound.audio import load_recordings
from stillhouse.models.data.sound.waves import waves_of
from stillhouse.models.data.text import codes_of
from stillhouse.models.distillation.batches import seed_generator
from stillhouse.models.distillation.letters import NOTHING, alphabet_of, letters_of
from stillhouse.models.training.device import to_device
from stillhouse.models.training.loop import Batch
from stillhouse.models.training.ready import ready_images

NAME_ONLY, TAGS_ONLY = 0.5, 0.2
"""Shares of training captions that are only the name, and only a few tags. The others are the name and a few tags."""
MOST_TAGS = 4
DRAWINGS = 2
"""Pictures of each concept in a batch, by different artists if possible. One if no concept has two pictures."""
WRITTEN = 2
"""Written captions that a speech encoder reads for each recording that it hears."""
CUT_OFF = 160
"""If one of this many last samples of a waveform is not silent, the recording was too long."""
CAPTIONS = 4
"""Captions of each concept in a batch.

A sentence costs a hundredth of a drawing, and a concept has many more captions than drawings.
"""


@dataclass(frozen=True)
class Pairs:
    """One split: pictures, their concepts, and the captions of the concepts."""

    images_NCHW: Tensor
    """Raw pixels, uint8."""
    labels_N: Tensor
    """Concepts, int64."""
    captions: Captions
    """Captions of this split, or all captions if they have no splits."""

    @cached_property
    def rows(self) -> list[list[int]]:
        """List the captions of each concept."""
        return _places(self.captions.labels_N.tolist())

    @cached_property
    def drawings(self) -> list[list[int]]:
        """List the pictures of each concept."""
        return _places(self.labels_N.tolist())

    @cached_property
    def hands(self) -> int:
        """Return the number of pictures per concept in a batch."""
        return min(DRAWINGS, max(map(len, self.drawings)))


@dataclass(frozen=True)
class Spoken:
    """The recordings of one split."""

    waves_NT: Tensor
    """Samples, int16."""
    labels_N: Tensor
    """Concepts, int64."""
    letters_NL: Tensor
    """Letters of each recording. All 0 if the recording was cut off."""
    letters: int
    """Number of letters, including the one for "no letter"."""
    written_ML: Tensor
    """Letters of the split's captions in the scripts of the recordings, spoken or not."""
    written_labels_M: Tensor


def load_pairs(folder: Path, split: str) -> Pairs:
    """Read a split of a materialised dataset. If splits hold recordings, return the pictures of the whole gallery."""
    images = load_gallery(folder) if "gallery" in describe(folder) else load_images(folder, split)
    captions = load_captions(folder).of(split)
    return Pairs(torch.from_numpy(images.images_NCHW), torch.from_numpy(images.labels_N), captions)


def load_spoken(folder: Path, split: str) -> Spoken:
    """Read and decode the recordings of a split.

    Raises:
        ModelError: the dataset has no recordings.
    """
    recordings, captions = load_recordings(folder, split), load_captions(folder).of(split)
    names = dict(zip(zip(captions.labels_N.tolist(), captions.languages, strict=True), captions.names, strict=True))
    said = [names[pair] for pair in zip(recordings.labels_N.tolist(), recordings.languages, strict=True)]
    alphabet = alphabet_of(said)
    waves_NT = torch.from_numpy(waves_of(recordings.audio))
    cut_off_N = (waves_NT[:, -CUT_OFF:] != 0).any(1)
    letters_NL = torch.from_numpy(letters_of(said, alphabet)).masked_fill(cut_off_N[:, None], NOTHING)
    written_ML = torch.from_numpy(letters_of(captions.names, alphabet))
    known_M = (written_ML != NOTHING).any(1)
    return Spoken(
        waves_NT,
        torch.from_numpy(recordings.labels_N),
        letters_NL,
        len(alphabet) + 1,
        written_ML[known_M],
        torch.from_numpy(captions.labels_N)[known_M],
    )


@dataclass(frozen=True)
class PairBatches:
    """Concepts in random order, each with up to two augmented pictures and a few captions in random languages."""

    pairs: Pairs
    spoken: Spoken | None
    """Recordings, if there are any. Each batch has as many recordings as concepts."""
    seed: int
    redraw: bool
    resolutions: tuple[int, ...] | None = None
    """Side of the pictures in each epoch. None keeps the original size."""
    frames: int = 0
    """Number of frames of the speech encoder's letters."""

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch. An epoch uses as many concepts as there are captions."""
        return -(-len(self.pairs.captions) // self._concepts(batch_size))

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images, labels, codes, labels), then the output of `_said` if there are recordings.

        Images (DRAWINGS * B, C, H, W) are one picture of every concept, then another one if any concept has two. Codes
        (CAPTIONS * B, L) have the same order.

        The probability of a concept is proportional to the square root of its number of pictures.
        """
        chooser = np.random.default_rng((self.seed, epoch))
        generator = seed_generator(self.seed, epoch)
        weights_K = np.sqrt([len(found) for found in self.pairs.drawings])
        for _ in range(self.batches_per_epoch(batch_size)):
            chosen = chooser.choice(
                len(weights_K), self._concepts(batch_size), replace=False, p=weights_K / weights_K.sum()
            )
            labels_B = torch.from_numpy(chosen)
            images = self._images(chosen, chooser, generator, self.resolutions[epoch] if self.resolutions else None)
            codes = torch.from_numpy(
                codes_of([self._caption(label, chooser) for _ in range(CAPTIONS) for label in chosen])
            )
            drawn = images, labels_B.repeat(self.pairs.hands)
            yield *drawn, codes, labels_B.repeat(CAPTIONS), *self._speak(len(chosen), chooser)

    def _concepts(self, batch_size: int) -> int:
        return min(batch_size, sum(map(bool, self.pairs.drawings)))

    def _images(
        self, chosen: np.ndarray, chooser: np.random.Generator, generator: torch.Generator, side: int | None
    ) -> Tensor:
        index_BH = torch.tensor([_some(self.pairs.drawings[label], self.pairs.hands, chooser) for label in chosen])
        images = ready_images(to_device(self.pairs.images_NCHW[index_BH.T.flatten()]))
        if side:
            images = resize(images, side)
        return ready_images(redrawn(images, generator)) if self.redraw else images

    def _caption(self, label: int, chooser: np.random.Generator) -> str:
        captions, rows = self.pairs.captions, self.pairs.rows[label]
        row = rows[chooser.integers(len(rows))]
        return caption_of(captions.names[row], captions.tags[row], chooser)

    def _speak(self, count: int, chooser: np.random.Generator) -> tuple[Tensor, ...]:
        """Return recordings (B, T), their labels and letters, then captions as heard letters (W, 2, F) with labels."""
        if self.spoken is None:
            return ()
        spoken, generator = self.spoken, torch.Generator().manual_seed(int(chooser.integers(2**62)))
        index = torch.randperm(len(spoken.labels_N), generator=generator)[:count]
        waves_BT = to_device(spoken.waves_NT[index]).float()
        said_BT = augment_speech(waves_BT, generator) if self.redraw else waves_BT
        rows = torch.randperm(len(spoken.written_labels_M), generator=generator)[: WRITTEN * count]
        written = as_heard(spoken.written_ML[rows], self.frames, spoken.letters - 1, generator)
        return said_BT, spoken.labels_N[index], spoken.letters_NL[index], written, spoken.written_labels_M[rows]


def caption_of(name: str, tags: Sequence[str], chooser: np.random.Generator) -> str:
    """Return a random query that a user might type: the name, a few tags, or both."""
    kind = chooser.random()
    if kind < NAME_ONLY or not tags:
        return name
    few = [tags[place] for place in chooser.permutation(len(tags))[: 1 + chooser.integers(MOST_TAGS)]]
    return " ".join(few if kind < NAME_ONLY + TAGS_ONLY else [name, *few])


def _places(labels: list[int]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(max(labels) + 1)]
    for place, label in enumerate(labels):
        found[label].append(place)
    return found


def _some(drawings: list[int], count: int, chooser: np.random.Generator) -> list[int]:
    return [int(place) for place in chooser.choice(drawings, count, replace=len(drawings) < count)]
