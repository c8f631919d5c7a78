"""Training of text recognition: a student learns a recogniser's letters in each frame. Quality is 1 - CER."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.augmentation.reprint import reprint
from stillhouse.models.data.description import describe
from stillhouse.models.data.written.lines import EMPTY, Lines, letters_of, load_lines
from stillhouse.models.distillation.batches import DistillationBatches, ask_about_views, seed_generator, shuffle
from stillhouse.models.distillation.frames import frame_objective, transcript_objective
from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.transcription import count_errors
from stillhouse.models.onnx.recogniser import LineForm, adopt_recogniser
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.loop import Batch, Objective, ProgressReporter
from stillhouse.models.training.ready import ready
from stillhouse.models.workloads.own_settings import OwnOptions
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_recognition.reading import read_lines
from stillhouse.models.workloads.training_base import (
    Ask,
    Built,
    DistillationOptions,
    Network,
    TeacherOptions,
    TeacherTraining,
    Training,
)
from stillhouse.models.workloads.training_optional import FileOptions
from stillhouse.models.workloads.transcripts.frame_settings import settings_of
from stillhouse.models.workloads.transcripts.spelling import LETTERS, number_letters

ASKED = 32
"""Lines that the teacher answers at once."""


@dataclass(frozen=True)
class LabelledLines:
    """Lines with their letters in a new order every epoch."""

    images_NCHW: Tensor
    letters_NL: Tensor
    seed: int
    augment: bool

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.images_NCHW) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images_BCHW, letters_BL)."""
        generator = seed_generator(self.seed + 1, epoch)
        for index_B in shuffle(len(self.images_NCHW), batch_size, seed_generator(self.seed, epoch)):
            images_BCHW = self.images_NCHW[index_B]
            yield ready(reprint(images_BCHW, generator) if self.augment else images_BCHW), self.letters_NL[index_B]


def view_of(images_NCHW: Tensor, seed: int, view: int) -> Tensor:
    """Return view number `view` of all lines. View 0 is the lines themselves."""
    return reprint(images_NCHW, seed_generator(seed + 1, view)) if view else images_NCHW


@dataclass(frozen=True)
class Recogniser:
    """The only component: lines in, letters of each frame out."""

    data: Path
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this data."""
        return architecture_of(self.data, network)

    def distillation_batches(
        self, ask: Ask, seed: int, options: DistillationOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training split in several views, with the teacher's letters in each frame."""
        images_NCHW, letters_NL = _examples(self.data)
        made = [partial(view_of, images_NCHW, seed, view) for view in range(options.augmented_views)]
        return ask_about_views(made, letters_NL, ask, seed, watcher.progress, ASKED)

    def distillation(
        self, feed: DistillationBatches, options: OwnOptions, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        """Return batches and objective to learn the teacher's letters, and optionally the texts."""
        settings = settings_of(options)
        return feed, frame_objective(settings.temperature, settings.hard_weight)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures 1 minus the character error rate on a split."""
        lines = load_lines(self.data, split)
        return lambda module: 1 - count_errors(lines.texts, self._read(module, lines), "characters").rate

    def calibration(self) -> NDArray[np.uint8]:
        """Return the lines (N, C, H, W) of the calibration split."""
        return load_lines(self.data, "calibration").images_NCHW

    def held_out_inputs(self, split: str) -> NDArray[np.uint8]:
        """Return the lines (N, C, H, W) of an evaluation split. Training must not use them."""
        return load_lines(self.data, split).images_NCHW

    def reference(self, module: nn.Module) -> NDArray[np.str_]:
        """Return the texts (N,) that the training-time module reads on the gate split."""
        return np.array(self._read(module, load_lines(self.data, "gate")))

    @torch.no_grad()
    def _read(self, module: nn.Module, lines: Lines) -> list[str]:
        module.eval()
        return read_lines(
            lambda images_NCHW: module(ready(torch.from_numpy(images_NCHW))).numpy(),
            lines.images_NCHW,
            letters_of(self.data),
        )


class TextRecognition:
    """One network, trained with texts or by a recogniser."""

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
        """Return what is needed to train on the texts of the training split."""
        feed = LabelledLines(*_examples(data), seed, options.augment)
        return TeacherTraining(built[ALONE][0], feed, transcript_objective())

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures 1 minus the character error rate on a split."""
        score = Recogniser(data).scorer(split)
        return lambda modules: score(modules[ALONE])

    def component(self, _name: str, data: Path, _teacher: Path, _previous: Path) -> Recogniser:
        """Return the only component."""
        return Recogniser(data)

    def adopt_file(self, source: Path, out_path: Path, data: Path, options: FileOptions) -> None:
        """Write a file that reads the lines of a dataset and gives the letters of the dataset's vocabulary.

        Raises:
            ModelError: the file is no recogniser of lines, does not fit the dataset, or lacks a letter.
        """
        form = LineForm(options.scale, options.offset, options.colours, options.output)
        adopt_recogniser(source, out_path, form, letters_of(data), load_lines(data, "calibration").images_NCHW)

    def about(self, data: Path, _model: Path) -> dict[str, Any]:
        """Return the vocabulary."""
        return {LETTERS: letters_of(data)}


TRAINING: Training = TextRecognition()


def architecture_of(data: Path, network: Network) -> Architecture:
    """Describe a network for the letters and the lines of this data.

    Raises:
        ModelError: the network takes pictures with another number of channels.
    """
    lines, shape = load_lines(data, "train"), tuple(describe(data)["image_shape"])
    if network.arguments.get("channels", shape[0]) != shape[0]:
        given = network.arguments["channels"]
        msg = f"network {network.name} takes {given} channels and the lines have {shape[0]}; mend it in the recipe"
        raise ModelError(msg)
    arguments = {**network.arguments, "letters": len(letters_of(data)) + 1}
    return Architecture(network.name, arguments, float(lines.images_NCHW.std()), shape, background=EMPTY)


def _examples(data: Path) -> tuple[Tensor, Tensor]:
    """Return images_NCHW and letters_NL of the training split."""
    lines = load_lines(data, "train")
    return torch.from_numpy(lines.images_NCHW), torch.from_numpy(number_letters(lines.texts, letters_of(data)))
