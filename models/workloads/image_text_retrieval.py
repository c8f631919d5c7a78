"""Image and text retrieval: drawings and captions in one space; quality is recall@1, both ways, in all languages.

A model is a set of towers, each a plain network of its own that is trained together with the others once, as teacher,
and then compressed by itself against the teacher's space, so that a student's tower works with any other's index.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import Architecture, load_model
from models.compression.distil import teacher_logits
from models.inputs.augment import blended
from models.inputs.images import load_images
from models.inputs.redraw import PAPER, redrawn
from models.inputs.text import CONTEXT, codes_of
from models.retrieval import hits
from models.training import Watcher
from models.workloads.pairs import Pairs, caption_of, load_pairs
from models.workloads.taught import TaughtFeed, seeded

TOWERS = ("image", "text")
CALIBRATION_TEXTS = 256
ANCHORS = 1_000_003
"""A position in the random sequence that no epoch has."""


class Towers(nn.Module):
    """The towers of one space while they learn together."""

    def __init__(self, image: nn.Module, text: nn.Module, concepts: int, dimension: int, seed: int) -> None:
        """Keep the towers, and the anchors of all concepts, which are learned and then thrown away."""
        super().__init__()
        self.image, self.text = image, text
        self.anchors = nn.Parameter(0.1 * torch.randn(concepts, dimension, generator=seeded(seed, ANCHORS)))


def architecture_of(folder: Path, network: str, arguments: Mapping[str, object]) -> Architecture:
    """Describe a tower for this data."""
    architecture = Architecture(network, dict(arguments), 1.0, ())
    if architecture.takes_text:
        return architecture
    pixels = load_images(folder, "train").images_NCHW
    ink = float((pixels.astype(np.float32) - PAPER).std())
    return Architecture(network, dict(arguments), ink, pixels.shape[1:], background=PAPER)


def scorer(folder: Path, role: str) -> Callable[[Mapping[str, nn.Module]], float]:
    """Prepare to measure mean recall@1 of towers on a role."""
    pairs = load_pairs(folder, role)
    codes = [torch.from_numpy(codes_of(pairs.names(language))) for language in pairs.languages]

    def score(towers: Mapping[str, nn.Module]) -> float:
        texts_TND = np.stack([vectors(towers["text"], codes_NL) for codes_NL in codes])
        return float(hits(vectors(towers["image"], pairs.images_NCHW), texts_TND).mean())

    return score


@torch.no_grad()
def vectors(tower: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """Unit vectors (N, D) that a tower gives for raw inputs."""
    return teacher_logits(tower.eval(), inputs).numpy()


@dataclass(frozen=True)
class Tower:
    """One tower as a workload of its own: what it learns from, how it is judged and calibrated."""

    name: str
    teacher: Path
    """Folder of the teacher's towers."""
    previous: Path
    """Folder of the towers before this step; the others of them stay as they are."""

    def architecture(self, folder: Path, network: str, arguments: dict[str, object]) -> Architecture:
        """Describe a network for this tower."""
        return architecture_of(folder, network, arguments)

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
        """Feed the training role with the teacher's vectors of every view.

        A view of a drawing is another hand's, a blend mixes two of them; a view of a caption is another choice of name
        and tags, and a blend puts two captions together.
        """
        pairs = load_pairs(folder, "train")
        views_of = _drawn if self.name == "image" else _said
        made, answers = [], []
        for number in range(views + blends):
            watcher.progress(f"asking the teacher, view {number + 1}/{views + blends}")
            made.append(views_of(pairs, seed, number, blend=number >= views))
            answers.append(ask(made[-1]))
        labels_N = pairs.labels_N if self.name == "image" else torch.from_numpy(pairs.captions.labels_N)
        stacked = tuple(torch.stack(tensors) for tensors in zip(*answers, strict=True))
        return TaughtFeed(torch.stack(made), stacked, labels_N, seed)

    def gallery(self, folder: Path) -> Tensor:
        """Vectors (K, D) of all concepts from the teacher's other tower: mean caption, or mean training drawing."""
        pairs = load_pairs(folder, "train")
        other = load_model(self.teacher / _other(self.name))[0]
        if self.name == "image":
            labels_N, inputs = torch.from_numpy(pairs.captions.labels_N), codes_of(pairs.captions.names)
            vectors_ND = teacher_logits(other, torch.from_numpy(inputs))
        else:
            labels_N, vectors_ND = pairs.labels_N, teacher_logits(other, pairs.images_NCHW)
        sums_KD = torch.zeros(int(labels_N.max()) + 1, vectors_ND.shape[1]).index_add(0, labels_N, vectors_ND)
        return functional.normalize(sums_KD, dim=1)

    def scorer(self, folder: Path, role: str) -> Callable[[nn.Module], float]:
        """Prepare to measure a new tower beside the others of before."""
        score = scorer(folder, role)
        others = {name: load_model(self.previous / name)[0] for name in TOWERS if name != self.name}
        return lambda module: score({**others, self.name: module})

    def calibration(self, folder: Path) -> NDArray[np.generic]:
        """Raw inputs of the calibration role."""
        pairs = load_pairs(folder, "calibration")
        if self.name == "image":
            return pairs.images_NCHW.numpy()
        spread = np.linspace(0, len(pairs.captions.names) - 1, CALIBRATION_TEXTS).astype(int)
        return codes_of([pairs.captions.names[row] for row in spread])

    def parity_inputs(self, folder: Path) -> Tensor:
        """Raw inputs for holding the exported tower against this one: the gate's drawings, or their first names."""
        pairs = load_pairs(folder, "gate")
        return (
            pairs.images_NCHW if self.name == "image" else torch.from_numpy(codes_of(pairs.names(pairs.languages[0])))
        )


def _other(name: str) -> str:
    return next(tower for tower in TOWERS if tower != name)


def _drawn(pairs: Pairs, seed: int, view: int, *, blend: bool) -> Tensor:
    """Make the numbered view of all drawings (N, C, H, W): the drawings themselves first."""
    if view == 0:
        return pairs.images_NCHW
    generator = seeded(seed + 1, view)
    batches = pairs.images_NCHW.split(500)
    images = torch.cat([redrawn(batch, generator).round().to(torch.uint8) for batch in batches])
    return blended(images, generator) if blend else images


def _said(pairs: Pairs, seed: int, view: int, *, blend: bool) -> Tensor:
    """Make the numbered view of all captions (N, CONTEXT): the names first; int32, as a view is kept in memory."""
    captions, chooser = pairs.captions, np.random.default_rng((seed, view))
    said = [
        caption_of(name, tags, chooser) if view else name
        for name, tags in zip(captions.names, captions.tags, strict=True)
    ]
    if blend:
        said = [f"{one} {said[other]}" for one, other in zip(said, chooser.permutation(len(said)), strict=True)]
    codes_NL = codes_of(said)
    return torch.from_numpy(np.pad(codes_NL, ((0, 0), (0, CONTEXT - codes_NL.shape[1]))).astype(np.int32))
