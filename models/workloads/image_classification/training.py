"""Training of image classification: the model learns the class of a picture. Quality is accuracy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.augmentation.augment import erase, flip, mix_up, resize, shift
from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.distillation.batches import DistillationBatches, ask_about_views, seed_generator, shuffle
from stillhouse.models.distillation.objectives import cross_entropy_objective, taught_objective
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.image_classifier import NETWORK, adopt_classifier, derive
from stillhouse.models.inspection.source import Source
from stillhouse.models.training.checkpoint import ARCHITECTURE, Architecture, load_model
from stillhouse.models.training.device import to_device
from stillhouse.models.training.loop import Batch, Objective, ProgressReporter
from stillhouse.models.training.ready import ready, ready_images
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

COINS = 1_000_001
"""A position in the random sequence that no epoch uses."""


@dataclass(frozen=True)
class Examples:
    """One split as tensors."""

    images_NCHW: Tensor
    """Raw pixels, uint8."""
    labels_N: Tensor
    """Class indices, int64."""

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.labels_N)


def load_examples(folder: Path, split: str) -> Examples:
    """Read a split of a materialised dataset."""
    images = load_images(folder, split)
    return Examples(torch.from_numpy(images.images_NCHW), torch.from_numpy(images.labels_N))


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


def view_of(images_NCHW: Tensor, seed: int, view: int) -> Tensor:
    """Return view number `view` of all images (N, C, H, W).

    View 0 is the images themselves. Later views are mirrored and shifted.
    """
    if view == 0:
        return images_NCHW
    return shift(flip(images_NCHW, _choose_mirrored(len(images_NCHW), seed, view)), seed_generator(seed + 1, view))


def blend_of(images_NCHW: Tensor, seed: int, blend: int) -> Tensor:
    """Return blend number `blend` of all images (N, C, H, W): a view of each image, mixed with another image."""
    return mix_up(view_of(images_NCHW, seed, blend + 1), seed_generator(seed + 3, blend))


@dataclass(frozen=True)
class Classifier:
    """The only component of a classifier."""

    data: Path
    name: str = ALONE
    teacher: Path | None = None
    """Folder of the teacher's classifier."""

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this data, with the scale of its training pixels.

        A network of the teacher's family prepares the pixels as the teacher does. What its configuration leaves out is
        as in the teacher's.
        """
        if network.name == NETWORK and self.teacher and (self.teacher / ARCHITECTURE).is_file():
            return derive(load_model(self.teacher)[1], network.arguments)
        return architecture_of(self.data, network)

    def distillation_batches(
        self, ask: Ask, seed: int, options: SoftOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training split with the outputs of `ask` for every view: logits (N, K), then features (N, D).

        Blends are additional views. The label of a blended image is the label of its larger part.
        """
        examples = load_examples(self.data, "train")
        made = [partial(view_of, examples.images_NCHW, seed, view) for view in range(options.augmented_views)]
        made += [partial(blend_of, examples.images_NCHW, seed, blend) for blend in range(options.mixup_views)]
        return ask_about_views(made, examples.labels_N, ask, seed, watcher.progress)

    def distillation(
        self, feed: DistillationBatches, options: LogitOptions, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        """Return batches and objective to learn the teacher's logits, and optionally their relations."""
        relations = 0.0 if options.features else options.rkd_weight or 0.0
        return feed, taught_objective(options.loss, options.temperature, options.hard_weight, relations)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures accuracy on a split."""
        images = load_examples(self.data, split)

        def score(model: nn.Module) -> float:
            return float((answers(model, images) == images.labels_N).float().mean())

        return score

    def calibration(self) -> NDArray[np.uint8]:
        """Return the raw images (N, C, H, W) of the calibration split."""
        return load_images(self.data, "calibration").images_NCHW

    def held_out_inputs(self, split: str) -> NDArray[np.uint8]:
        """Return the raw images (N, C, H, W) of an evaluation split. Training must not use them."""
        return load_images(self.data, split).images_NCHW

    def reference(self, module: nn.Module) -> NDArray[np.int64]:
        """Return the classes (N,) that the training-time module predicts for the gate split."""
        return answers(module, load_examples(self.data, "gate")).numpy()


class ImageClassification:
    """One network, trained with labels."""

    components = (ALONE,)

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Check nothing more: the recipe was checked against the registry when it was read."""

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the network for this data."""
        return {name: architecture_of(data, network) for name, network in networks.items()}

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Return what is needed to train on the labels of the training split."""
        examples = load_examples(data, "train")
        feed = LabelledBatches(examples, seed, options.augment, options.resolutions, options.erase)
        return TeacherTraining(built[ALONE][0], feed, cross_entropy_objective(options.label_smoothing))

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures accuracy on a split."""
        score = Classifier(data).scorer(split)
        return lambda modules: score(modules[ALONE])

    def component(self, _name: str, data: Path, teacher: Path, _previous: Path) -> Classifier:
        """Return the only component."""
        return Classifier(data, teacher=teacher / ALONE)

    def adopt(self, source: Source, data: Path) -> Adopted:
        """Read a user's classifier.

        Raises:
            ModelError: it is no image classifier of transformers in safetensors, or it does not fit the dataset.
        """
        return adopt_classifier(source, data)

    def quality(self, data: Path, _teacher: Path, module: nn.Module) -> float:
        """Measure accuracy on the split `validation`."""
        return Classifier(data).scorer("validation")(module)

    def files(self, _name: str, _teacher: Path) -> list[Path]:
        """Return no files: the exported model prepares the pictures itself."""
        return []

    def about(self, data: Path, _model: Path) -> dict[str, Any]:
        """Return the names of the classes."""
        return {"labels": describe(data)["labels"]}


TRAINING: Training = ImageClassification()


def architecture_of(data: Path, network: Network) -> Architecture:
    """Describe a network for this data, with the scale of its training pixels."""
    pixels = load_images(data, "train").images_NCHW
    shape = tuple(describe(data)["image_shape"])
    return Architecture(network.name, dict(network.arguments), float(pixels.std()), shape)


@torch.no_grad()
def answers(model: nn.Module, images: Examples, batch_size: int = 1000) -> Tensor:
    """Return the classes (N,) that a module predicts, in fp32."""
    model.eval()
    return torch.cat([model(ready(batch)).argmax(1) for batch in images.images_NCHW.split(batch_size)])


def _choose_mirrored(count: int, seed: int, turn: int) -> Tensor:
    """Choose half of the images at random to be mirrored, and the other half in every second turn."""
    coin_N = torch.rand(count, generator=seed_generator(seed, COINS)) < 0.5  # noqa: PLR2004 - a fair coin
    return coin_N ^ bool(turn % 2)
