"""Training of image classification: the model learns the class of a picture. Quality is accuracy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.distillation.batches import DistillationBatches, Shown, ask_about_views
from stillhouse.models.distillation.objectives import cross_entropy_objective, taught_objective
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.image_classifier import NETWORK, adopt_classifier, derive
from stillhouse.models.inspection.source import Source
from stillhouse.models.training.checkpoint import ARCHITECTURE, Architecture, load_model
from stillhouse.models.training.loop import Objective, ProgressReporter
from stillhouse.models.training.ready import ready
from stillhouse.models.training.rows import parts_of
from stillhouse.models.workloads.image_classification.examples import (
    Blend,
    Examples,
    LabelledBatches,
    View,
    load_examples,
    spread_of,
)
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
        made: list[Callable[[], Shown]] = [
            partial(View, examples.images_NCHW, seed, view) for view in range(options.augmented_views)
        ]
        made += [partial(Blend, examples.images_NCHW, seed, blend) for blend in range(options.mixup_views)]
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
    shape = tuple(describe(data)["image_shape"])
    return Architecture(network.name, dict(network.arguments), spread_of(load_examples(data, "train")), shape)


@torch.no_grad()
def answers(model: nn.Module, images: Examples, batch_size: int = 1000) -> Tensor:
    """Return the classes (N,) that a module predicts, in fp32."""
    model.eval()
    parts = parts_of(len(images), batch_size)
    return torch.cat([model(ready(images.images_NCHW[places])).argmax(1) for places in parts])
