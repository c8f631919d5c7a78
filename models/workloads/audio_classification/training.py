"""Training of audio classification: the model learns the class of a recording. Quality is accuracy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.augmentation.resound import mix_clips, resound
from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.clips import load_clips
from stillhouse.models.distillation.batches import DistillationBatches, ask_about_views, seed_generator, shuffle
from stillhouse.models.distillation.objectives import cross_entropy_objective, taught_objective
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.audio_classifier import adopt_audio
from stillhouse.models.inspection.source import Source
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.device import to_device
from stillhouse.models.training.loop import Batch, Objective, ProgressReporter
from stillhouse.models.training.ready import ready
from stillhouse.models.workloads.audio_classification.runtime import AT_ONCE
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.training_base import (
    Ask,
    Built,
    DistillationOptions,
    LogitOptions,
    Network,
    SoftOptions,
    TeacherOptions,
    TeacherTraining,
    Training,
)

ASKED_AT_ONCE = 64
"""Clips that a teacher answers at once."""


@dataclass(frozen=True)
class Examples:
    """One split as tensors."""

    samples_NT: Tensor
    """16-bit samples."""
    labels_N: Tensor
    """Class indices, int64."""


def load_examples(folder: Path, split: str) -> Examples:
    """Read a split of a materialised dataset."""
    clips = load_clips(folder, split)
    return Examples(torch.from_numpy(clips.samples_NT), torch.from_numpy(clips.labels_N))


@dataclass(frozen=True)
class LabelledClips:
    """Clips and labels in a new order every epoch. With `augment`, each epoch has a new view."""

    examples: Examples
    seed: int
    augment: bool

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.examples.labels_N) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (samples_BT, labels_B)."""
        for index_B in shuffle(len(self.examples.labels_N), batch_size, seed_generator(self.seed, epoch)):
            samples_BT, labels_B = to_device(self.examples.samples_NT[index_B]), self.examples.labels_N[index_B]
            if self.augment:
                samples_BT = resound(samples_BT, seed_generator(self.seed + 1 + int(index_B[0]), epoch))
            yield ready(samples_BT), labels_B


def view_of(samples_NT: Tensor, seed: int, view: int) -> Tensor:
    """Return view number `view` of all clips (N, T). View 0 is the clips themselves."""
    return samples_NT if view == 0 else resound(samples_NT, seed_generator(seed + 1, view))


def blend_of(samples_NT: Tensor, seed: int, blend: int) -> Tensor:
    """Return blend number `blend` of all clips (N, T): a view of each clip, mixed with another clip."""
    return mix_clips(view_of(samples_NT, seed, blend + 1), seed_generator(seed + 3, blend))


@dataclass(frozen=True)
class Classifier:
    """The only component of a classifier."""

    data: Path
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this data."""
        return architecture_of(self.data, network)

    def distillation_batches(
        self, ask: Ask, seed: int, options: SoftOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training split with the outputs of `ask` for every view: logits (N, K), then features (N, D).

        Blends are additional views. The label of a blend is the label of its larger part.
        """
        examples = load_examples(self.data, "train")
        made = [partial(view_of, examples.samples_NT, seed, view) for view in range(options.augmented_views)]
        made += [partial(blend_of, examples.samples_NT, seed, blend) for blend in range(options.mixup_views)]
        return ask_about_views(made, examples.labels_N, ask, seed, watcher.progress, ASKED_AT_ONCE)

    def distillation(
        self, feed: DistillationBatches, options: LogitOptions, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        """Return batches and objective to learn the teacher's logits, and optionally their relations."""
        relations = 0.0 if options.features else options.rkd_weight or 0.0
        return feed, taught_objective(options.loss, options.temperature, options.hard_weight, relations)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures accuracy on a split."""
        examples = load_examples(self.data, split)
        return lambda model: float((classes_of(model, examples.samples_NT) == examples.labels_N).float().mean())

    def calibration(self) -> NDArray[np.int16]:
        """Return the clips (N, T) of the calibration split."""
        return load_clips(self.data, "calibration").samples_NT

    def held_out_inputs(self, split: str) -> NDArray[np.int16]:
        """Return the clips (N, T) of an evaluation split. Training must not use them."""
        return load_clips(self.data, split).samples_NT

    def reference(self, module: nn.Module) -> NDArray[np.int64]:
        """Return the classes (N,) that the training-time module predicts for the gate split."""
        return classes_of(module, load_examples(self.data, "gate").samples_NT).numpy()


class AudioClassification:
    """One network, trained with labels."""

    components = (ALONE,)

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Check nothing more: the recipe was checked against the registry when it was read."""

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the network for this data."""
        return {name: architecture_of(data, network) for name, network in networks.items()}

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Return what is needed to train on the labels of the training split."""
        feed = LabelledClips(load_examples(data, "train"), seed, options.augment)
        return TeacherTraining(built[ALONE][0], feed, cross_entropy_objective(options.label_smoothing))

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures accuracy on a split."""
        score = Classifier(data).scorer(split)
        return lambda modules: score(modules[ALONE])

    def component(self, _name: str, data: Path, _teacher: Path, _previous: Path) -> Classifier:
        """Return the only component."""
        return Classifier(data)

    def adopt(self, source: Source, data: Path) -> Adopted:
        """Read a user's classifier.

        Raises:
            ModelError: it is no audio classifier of transformers in safetensors, or it does not fit the dataset.
        """
        return adopt_audio(source, data)

    def quality(self, data: Path, _teacher: Path, module: nn.Module) -> float:
        """Measure accuracy on the split `validation`."""
        return Classifier(data).scorer("validation")(module)

    def files(self, _name: str, _teacher: Path) -> list[Path]:
        """Return no files: the exported model prepares the samples itself."""
        return []

    def about(self, data: Path, _model: Path) -> dict[str, Any]:
        """Return the names of the classes."""
        return {"labels": describe(data)["labels"]}


TRAINING: Training = AudioClassification()


def architecture_of(data: Path, network: Network) -> Architecture:
    """Describe a network for the clips of this data."""
    return Architecture(network.name, dict(network.arguments), 1.0, (int(describe(data)["clips"]["samples"]),))


@torch.no_grad()
def classes_of(model: nn.Module, samples_NT: Tensor) -> Tensor:
    """Return the classes (N,) that a module predicts, in fp32."""
    model.eval()
    return torch.cat([model(ready(batch_BT)).argmax(1) for batch_BT in samples_NT.split(AT_ONCE)])
