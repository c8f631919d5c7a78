"""Training batches of recordings: augmented in every epoch for a teacher, in fixed takes for its students."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.models.augmentation.respeak import hide, respeak
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.training.loop import Batch
from stillhouse.models.training.ready import ready
from stillhouse.models.workloads.speech_recognition.lengths import group_equal, group_similar, pad_together

Recordings = Sequence[NDArray[np.int16]]
TYPICAL = 2 * SAMPLE_RATE
"""Samples of a typical recording. A batch of 30 holds a minute: more recordings if they are short."""
PLAIN_EPOCHS = 3
"""First epochs, with the recordings as they are: CTC finds the letters in them sooner."""
ASKED = 60 * SAMPLE_RATE
"""Samples that a network answers at once."""


@dataclass(frozen=True)
class TranscribedBatches:
    """Recordings with their letters in a new order every epoch.

    With `augment`, each epoch after the first `PLAIN_EPOCHS` has a new take of every recording.
    """

    recordings: Recordings
    letters_NL: Tensor
    seed: int
    augment: bool

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch. The epochs differ a little; this is the number of the first."""
        return len(self._batches(0, batch_size))

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (samples_BT, letters_BL)."""
        for places in self._batches(epoch, batch_size):
            samples_BT = pad_together([self._take(place, epoch) for place in places])
            letters_BL = self.letters_NL[places]
            used = int((letters_BL > 0).sum(1).max())
            yield ready(torch.from_numpy(samples_BT)), letters_BL[:, :used]

    def _batches(self, epoch: int, batch_size: int) -> list[list[int]]:
        return group_similar(self._lengths, batch_size * TYPICAL, np.random.default_rng((self.seed, epoch)))

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        return np.array([len(samples_T) for samples_T in self.recordings])

    def _take(self, place: int, epoch: int) -> NDArray[np.int16]:
        """Return the recording itself, or another take of it with hidden parts."""
        if not self.augment or epoch < PLAIN_EPOCHS:
            return self.recordings[place]
        generator = np.random.default_rng((self.seed, epoch, place))
        return hide(respeak(self.recordings[place], generator), generator)


@dataclass(frozen=True)
class Take:
    """Some recordings of one length, and what the teacher answered."""

    samples_BT: Tensor
    letters_BL: Tensor
    teacher_BFV: Tensor


@dataclass(frozen=True)
class TaughtBatches:
    """Every recording in a few fixed takes, with the teacher's letters. The epochs use the takes in turn."""

    takes: Sequence[Sequence[Take]]
    seed: int

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of the first epoch."""
        return len(self._batches(0, batch_size))

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (samples_BT, letters_BL, teacher_BFV)."""
        for take, rows in self._batches(epoch, batch_size):
            used = int((take.letters_BL[rows] > 0).sum(1).max())
            yield ready(take.samples_BT[rows]), take.letters_BL[rows, :used], take.teacher_BFV[rows].float()

    def _batches(self, epoch: int, batch_size: int) -> list[tuple[Take, Tensor]]:
        generator = np.random.default_rng((self.seed, epoch))
        batches = [
            (take, torch.from_numpy(rows))
            for take in self.takes[epoch % len(self.takes)]
            for rows in _split(generator.permutation(len(take.samples_BT)), take.samples_BT.shape[1], batch_size)
        ]
        return [batches[number] for number in generator.permutation(len(batches))]


def _split(rows: NDArray[np.int64], samples: int, batch_size: int) -> list[NDArray[np.int64]]:
    most = max(1, batch_size * TYPICAL // samples)
    return np.array_split(rows, -(-len(rows) // most))


def ask_about_takes(  # noqa: PLR0913, PLR0917 - what is asked, whom, and how often
    recordings: Recordings,
    letters_NL: Tensor,
    takes: int,
    ask: Callable[[Tensor], tuple[Tensor, ...]],
    seed: int,
    progress: Callable[[str], None],
) -> TaughtBatches:
    """Make takes of all recordings, and ask the teacher about each one. The first take is the recordings themselves.

    Args:
        recordings: samples (T,) of each recording.
        letters_NL: letters of the transcripts.
        takes: number of takes.
        ask: returns the teacher's logits (N, F, V) for samples (N, T).
        seed: of the takes and of the batches.
        progress: is told the number of the take.
    """
    asked = list[list[Take]]()
    for number in range(takes):
        progress(f"asking the teacher, take {number + 1}/{takes}")
        taken = [_take(samples_T, seed, number, place) for place, samples_T in enumerate(recordings)]
        asked.append([_ask(taken, letters_NL, places, ask) for places in group_equal(taken, ASKED)])
    return TaughtBatches(asked, seed)


def _take(samples_T: NDArray[np.int16], seed: int, number: int, place: int) -> NDArray[np.int16]:
    return respeak(samples_T, np.random.default_rng((seed, number, place))) if number else samples_T


def _ask(taken: Recordings, letters_NL: Tensor, places: list[int], ask: Callable[[Tensor], tuple[Tensor, ...]]) -> Take:
    samples_BT = torch.from_numpy(pad_together([taken[place] for place in places]))
    return Take(samples_BT, letters_NL[places], ask(samples_BT)[0].half())


@torch.no_grad()
def answer(module: torch.nn.Module, recordings: Recordings) -> list[NDArray[np.float32]]:
    """Return the logits (F, V) of a training-time network for each recording with the silence after it."""
    module.eval()
    logits: list[NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(recordings)
    for places in group_equal(recordings, ASKED):
        samples_BT = torch.from_numpy(pad_together([recordings[place] for place in places]))
        for place, logits_FV in zip(places, module(ready(samples_BT)).numpy(), strict=True):
            logits[place] = logits_FV
    return logits
