"""Image classification: which class a picture belongs to; quality is accuracy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import Architecture
from models.inputs.augment import blended, erased, flipped, resized, shifted
from models.inputs.images import describe, load_images
from models.inputs.ready import ready
from models.training import Batch, Objective, Watcher
from models.workloads.taught import TaughtFeed, seeded, shuffled

COINS = 1_000_001
"""A position in the random sequence that no epoch has."""


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
    """Images and labels, each epoch in a new order and, with `augment` and `erase`, in a new view."""

    examples: Examples
    seed: int
    augment: bool
    resolutions: tuple[int, ...] | None
    """Side of the images in each epoch; None keeps their own."""
    erase: bool = False

    def batches_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.examples) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (images_BCHW, labels_B)."""
        generator, eraser = seeded(self.seed, epoch), seeded(self.seed + 2, epoch)
        mirrored_N = _mirrored(len(self.examples), self.seed, epoch)
        side = self.resolutions[epoch] if self.resolutions else self.examples.images_NCHW.shape[-1]
        for index_B in shuffled(len(self.examples), batch_size, generator):
            images_BCHW = self.examples.images_NCHW[index_B]
            if self.augment:
                images_BCHW = flipped(images_BCHW, mirrored_N[index_B])
            if self.erase:
                images_BCHW = erased(images_BCHW, eraser)
            yield ready(resized(images_BCHW, side)), self.examples.labels_N[index_B]


def view_of(images_NCHW: Tensor, seed: int, view: int) -> Tensor:
    """Make the numbered view of all images (N, C, H, W): the images themselves first, then mirrored and moved."""
    if view == 0:
        return images_NCHW
    return shifted(flipped(images_NCHW, _mirrored(len(images_NCHW), seed, view)), seeded(seed + 1, view))


def blend_of(images_NCHW: Tensor, seed: int, blend: int) -> Tensor:
    """Make the numbered blend of all images (N, C, H, W): every one in a view, with a share of another one."""
    return blended(view_of(images_NCHW, seed, blend + 1), seeded(seed + 3, blend))


class ImageClassification:
    """The workload: how to load, feed, judge and calibrate."""

    def architecture(self, folder: Path, network: str, arguments: dict[str, object]) -> Architecture:
        """Describe a network for this data, with the scale of its training pixels."""
        pixels = load_images(folder, "train").images_NCHW
        return Architecture(network, dict(arguments), float(pixels.std()), tuple(describe(folder)["image_shape"]))

    def labelled_feed(
        self, folder: Path, seed: int, *, augment: bool, resolutions: tuple[int, ...] | None, erase: bool = False
    ) -> LabelledFeed:
        """Feed the training role with its labels."""
        return LabelledFeed(load_examples(folder, "train"), seed, augment, resolutions, erase)

    def taught_feed(  # noqa: PLR0913 - what the teacher is asked about, each part by name
        self,
        folder: Path,
        ask: Callable[[Tensor], tuple[Tensor, ...]],
        seed: int,
        *,
        views: int,
        blends: int = 0,
        watcher: Watcher,
    ) -> TaughtFeed:
        """Feed the training role with what `ask` says of every view: logits (N, K) first, then features (N, D).

        Blends are further views; the label of a blended image is that of its larger part.
        """
        examples = load_examples(folder, "train")
        made = [partial(view_of, view=view) for view in range(views)]
        made += [partial(blend_of, blend=blend) for blend in range(blends)]
        images, answers = [], []
        for number, make in enumerate(made, start=1):
            watcher.progress(f"asking the teacher, view {number}/{len(made)}")
            images.append(make(examples.images_NCHW, seed))
            answers.append(ask(images[-1]))
        stacked = tuple(torch.stack(tensors) for tensors in zip(*answers, strict=True))
        return TaughtFeed(torch.stack(images), stacked, examples.labels_N, seed)

    def labelled_objective(self, label_smoothing: float) -> Objective:
        """Cross-entropy with the labels."""

        def objective(model: nn.Module, batch: Batch) -> Tensor:
            images_BCHW, labels_B = batch
            return functional.cross_entropy(model(images_BCHW).float(), labels_B, label_smoothing=label_smoothing)

        return objective

    def scorer(self, folder: Path, role: str) -> Callable[[nn.Module], float]:
        """Prepare to measure accuracy on a role."""
        images = load_examples(folder, role)

        def score(model: nn.Module) -> float:
            return float((answers(model, images) == images.labels_N).float().mean())

        return score

    def judged(self, folder: Path, role: str) -> NDArray[np.uint8]:
        """Raw images (N, C, H, W) of a judged role, which training keeps away from."""
        return load_images(folder, role).images_NCHW

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
    return torch.cat([model(ready(batch)).argmax(1) for batch in images.images_NCHW.split(batch_size)])


def _mirrored(count: int, seed: int, turn: int) -> Tensor:
    """Choose half of the images by coin, and the other half in every other turn."""
    coin_N = torch.rand(count, generator=seeded(seed, COINS)) < 0.5  # noqa: PLR2004 - a fair coin
    return coin_N ^ bool(turn % 2)
