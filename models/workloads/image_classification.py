"""Image classification: which class a picture belongs to; quality is accuracy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import Architecture, load_tensors, save_tensors
from models.compression.distil import distillation_loss, teacher_logits
from models.inputs.augment import flip_and_shift
from models.inputs.images import describe, load_images
from models.training import Batch, Feed, Objective, Watcher


@dataclass(frozen=True)
class Examples:
    """One role as tensors."""

    images_NCHW: Tensor
    """Raw pixels, uint8."""
    labels_N: Tensor
    """Class indices, int64."""

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.labels_N)


def load_examples(folder: Path, role: str) -> Examples:
    """Read a role of a materialised dataset."""
    images = load_images(folder, role)
    return Examples(torch.from_numpy(images.images_NCHW), torch.from_numpy(images.labels_N))


@dataclass(frozen=True)
class LabelledFeed:
    """Images and labels, newly augmented every epoch where `augment` says so."""

    images: Examples
    seed: int
    augment: bool

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.images) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images_BCHW, labels_B)."""
        generator = _generator(self.seed, epoch)
        for index_B in torch.randperm(len(self.images), generator=generator).split(batch_size):
            images_BCHW = self.images.images_NCHW[index_B]
            if self.augment:
                images_BCHW = flip_and_shift(images_BCHW, generator)
            yield images_BCHW, self.images.labels_N[index_B]


@dataclass(frozen=True)
class TaughtFeed:
    """Images in a few fixed augmented views, with the teacher's cached answer to each."""

    images: Examples
    view_logits: tuple[Tensor, ...]
    seed: int
    augment: bool

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.images) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images_BCHW, labels_B, teacher_logits_BK) of the view whose turn it is."""
        turn = epoch % len(self.view_logits)
        images_NCHW = view_of(self.images, self.seed, turn, augment=self.augment)
        logits_NK = self.view_logits[turn]
        for index_B in torch.randperm(len(self.images), generator=_generator(self.seed, epoch)).split(batch_size):
            yield images_NCHW[index_B], self.images.labels_N[index_B], logits_NK[index_B]


def view_of(images: Examples, seed: int, view: int, *, augment: bool) -> Tensor:
    """Make the numbered augmented view of all images (N, C, H, W); the same one whenever asked."""
    if not augment:
        return images.images_NCHW
    return flip_and_shift(images.images_NCHW, _generator(seed + 1, view))


class ImageClassification:
    """The workload: how to load, feed, judge and calibrate."""

    def architecture(self, folder: Path, network: str, arguments: dict[str, object]) -> Architecture:
        """Describe a network for this data, with the statistics of its training pixels."""
        pixels = load_images(folder, "train").images_NCHW
        shape = tuple(describe(folder)["image_shape"])
        return Architecture(network, dict(arguments), float(pixels.mean()), float(pixels.std()), shape)

    def labelled_feed(self, folder: Path, seed: int, *, augment: bool) -> Feed:
        """Feed the training role with its labels."""
        return LabelledFeed(load_examples(folder, "train"), seed, augment)

    def taught_feed(  # noqa: PLR0913 - what a cached teacher depends on
        self, folder: Path, teacher: nn.Module, seed: int, *, augment: bool, views: int, cache: Path, watcher: Watcher
    ) -> Feed:
        """Feed the training role with the teacher's answers, asked once per view and kept in `cache`."""
        images = load_examples(folder, "train")
        answers = []
        for view in range(views if augment else 1):
            watcher.progress(f"asking the teacher, view {view + 1}/{views if augment else 1}")
            file = cache / f"teacher_view_{view}.safetensors"
            if not file.exists():
                logits_NK = teacher_logits(teacher, view_of(images, seed, view, augment=augment))
                save_tensors(file, {"logits_NK": logits_NK}, {})
            answers.append(load_tensors(file)[0]["logits_NK"])
        return TaughtFeed(images, tuple(answers), seed, augment)

    def labelled_objective(self, label_smoothing: float) -> Objective:
        """Cross-entropy with the labels."""

        def objective(model: nn.Module, batch: Batch) -> Tensor:
            images_BCHW, labels_B = batch
            return functional.cross_entropy(model(images_BCHW).float(), labels_B, label_smoothing=label_smoothing)

        return objective

    def taught_objective(self, temperature: float, hard_weight: float) -> Objective:
        """Distillation loss with the teacher's answers."""

        def objective(model: nn.Module, batch: Batch) -> Tensor:
            images_BCHW, labels_B, teacher_BK = batch
            return distillation_loss(model(images_BCHW), teacher_BK, labels_B, temperature, hard_weight)

        return objective

    def scorer(self, folder: Path, role: str) -> Callable[[nn.Module], float]:
        """Prepare to measure accuracy on a role."""
        images = load_examples(folder, role)

        def score(model: nn.Module) -> float:
            return float((answers(model, images) == images.labels_N).float().mean())

        return score

    def calibration(self, folder: Path) -> NDArray[np.uint8]:
        """Raw images (N, C, H, W) of the calibration role."""
        return load_images(folder, "calibration").images_NCHW

    def answers(self, model: nn.Module, folder: Path, role: str) -> NDArray[np.int64]:
        """Classes (N,) that the training-time module gives for a role."""
        return answers(model, load_examples(folder, role)).numpy()


@torch.no_grad()
def answers(model: nn.Module, images: Examples, batch_size: int = 1000) -> Tensor:
    """Classes (N,) that a module gives, in fp32."""
    model.eval()
    return torch.cat([model(batch.float()).argmax(1) for batch in images.images_NCHW.split(batch_size)])


def _generator(seed: int, position: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + position)
