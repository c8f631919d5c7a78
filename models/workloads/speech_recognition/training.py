"""Training of speech recognition: the model learns the letters of recordings. Quality is 1 - character error rate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.utterances import Utterances, load_utterances
from stillhouse.models.distillation.frames import frame_objective, transcript_objective
from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.transcription import count_errors
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.loop import Objective, ProgressReporter
from stillhouse.models.workloads.own_settings import OwnOptions
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.speech_recognition.batches import (
    TaughtBatches,
    TranscribedBatches,
    answer,
    ask_about_takes,
)
from stillhouse.models.workloads.training_base import (
    Ask,
    Built,
    DistillationOptions,
    Network,
    TeacherOptions,
    TeacherTraining,
    Training,
)
from stillhouse.models.workloads.transcripts.frame_settings import settings_of
from stillhouse.models.workloads.transcripts.spelling import LETTERS, number_letters, read_greedily

TYPICAL = 3 * SAMPLE_RATE
"""Samples of a typical recording."""
CALIBRATED = 4 * SAMPLE_RATE
"""Samples of each calibration recording. A longer one is cut."""


@dataclass(frozen=True)
class Recogniser:
    """The only component: samples in, letters of each frame out."""

    data: Path
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this data."""
        return architecture_of(self.data, network)

    def distillation_batches(
        self, ask: Ask, seed: int, options: DistillationOptions, watcher: ProgressReporter
    ) -> TaughtBatches:
        """Return the training split in several takes, with the teacher's letters."""
        heard = self._split("train")
        letters_NL = torch.from_numpy(number_letters(heard.texts, self._letters))
        return ask_about_takes(heard.samples, letters_NL, options.augmented_views, ask, seed, watcher.progress)

    def distillation(self, feed: TaughtBatches, options: OwnOptions, _read: object) -> tuple[TaughtBatches, Objective]:
        """Return batches and objective to learn the teacher's letters, and optionally the transcripts."""
        settings = settings_of(options)
        return feed, frame_objective(settings.temperature, settings.hard_weight)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures 1 minus the character error rate on a split."""
        heard = self._split(split)
        return lambda module: 1 - count_errors(heard.texts, self._read(module, heard), "characters").rate

    def calibration(self) -> NDArray[np.int16]:
        """Return the recordings (N, T) of the calibration split."""
        return _fixed(self._split("calibration"), CALIBRATED)

    def held_out_inputs(self, split: str) -> NDArray[np.int16]:
        """Return the recordings (N, T) of an evaluation split, as `calibration` returns its own."""
        return _fixed(self._split(split), CALIBRATED)

    def reference(self, module: nn.Module) -> NDArray[np.str_]:
        """Return the texts (N,) that the training-time module reads on the gate split."""
        return np.array(self._read(module, self._split("gate")))

    def _split(self, split: str) -> Utterances:
        return load_utterances(self.data, split)

    @cached_property
    def _letters(self) -> list[str]:
        return letters_of(self.data)

    def _read(self, module: nn.Module, heard: Utterances) -> list[str]:
        return [read_greedily(logits_FV, self._letters) for logits_FV in answer(module, heard.samples)]


class SpeechRecognition:
    """One network, trained with transcripts."""

    components = (ALONE,)

    def check(self, _components: Sequence[str], distillations: Mapping[str, Sequence[Any]]) -> None:
        """Check the settings of each distillation.

        Raises:
            ModelError: a setting is unknown or out of range.
        """
        for options in distillations.get(ALONE, ()):
            settings_of(options)

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the network for this data."""
        return {name: architecture_of(data, network) for name, network in networks.items()}

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Return what is needed to train on the transcripts of the training split."""
        heard = load_utterances(data, "train")
        letters_NL: Tensor = torch.from_numpy(number_letters(heard.texts, letters_of(data)))
        feed = TranscribedBatches(heard.samples, letters_NL, seed, options.augment)
        return TeacherTraining(built[ALONE][0], feed, transcript_objective())

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures 1 minus the character error rate on a split."""
        score = Recogniser(data).scorer(split)
        return lambda modules: score(modules[ALONE])

    def component(self, _name: str, data: Path, _teacher: Path, _previous: Path) -> Recogniser:
        """Return the only component."""
        return Recogniser(data)

    def about(self, data: Path, _model: Path) -> dict[str, Any]:
        """Return the vocabulary."""
        return {LETTERS: letters_of(data)}


TRAINING: Training = SpeechRecognition()


def letters_of(data: Path) -> list[str]:
    """Read the vocabulary of a dataset: number 1 is the first letter.

    Raises:
        ModelError: the dataset has no transcripts.
    """
    described = describe(data)
    if "transcripts" not in described:
        msg = f"{described['name']} has no transcripts; name a dataset of transcribed recordings in data.dataset"
        raise ModelError(msg)
    letters: list[str] = described["transcripts"][LETTERS]
    return letters


def architecture_of(data: Path, network: Network) -> Architecture:
    """Describe a network for the letters of this data."""
    arguments = {**network.arguments, "letters": len(letters_of(data)) + 1}
    return Architecture(network.name, arguments, 1.0, (TYPICAL,))


def _fixed(heard: Utterances, length: int) -> NDArray[np.int16]:
    samples_NT = np.zeros((len(heard), length), np.int16)
    for row_T, samples_T in zip(samples_NT, heard.samples, strict=True):
        row_T[: len(samples_T)] = samples_T[:length]
    return samples_NT
