"""Training of text embedding: a student learns the vectors of a user's own encoder. There are no labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.distillation.batches import DistillationBatches, seed_generator
from stillhouse.models.distillation.embedding import taught_vectors
from stillhouse.models.distillation.texts import ask_about, run_on_texts, tokens_of
from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import Source
from stillhouse.models.measurement.neighbours import Vectors, nearest, share_kept
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.loop import Objective, ProgressReporter
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_embedding.runtime import NEIGHBOURS
from stillhouse.models.workloads.text_teacher import ReadTeacher
from stillhouse.models.workloads.training_base import (
    Ask,
    EmbeddingOptions,
    Network,
    SoftOptions,
    Training,
)

GALLERY = 4096
"""Training texts to which a student's similarities are compared with the teacher's."""


class TextEmbedding(ReadTeacher):
    """One encoder, read from a folder."""

    untrained = "text embedding has no labels to train a teacher with; name your model's folder in teacher.folder"

    def adopt(self, source: Source, _data: Path) -> Adopted:
        """Read a user's encoder.

        Raises:
            ModelError: it is no BERT-like encoder in safetensors.
        """
        return adopt_bert(source)

    def quality(self, _data: Path, _teacher: Path, _module: nn.Module) -> float:
        """Return the agreement of the teacher with itself, which is whole."""
        return 1.0

    def component(self, _name: str, data: Path, teacher: Path, _previous: Path) -> "TextEncoder":
        """Return the only component."""
        return TextEncoder(data, teacher / ALONE)

    def about(self, _data: Path, _model: Path) -> dict[str, Any]:
        """Return nothing: a bundle needs no facts of the data."""
        return {}


TRAINING: Training = TextEmbedding()


@dataclass(frozen=True)
class TextEncoder:
    """The encoder: its training data, its evaluation and its calibration."""

    data: Path
    teacher: Path
    """Folder of the teacher's encoder."""
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this teacher's tokens. Sizes that are left out are those of the teacher."""
        arguments = {**load_model(self.teacher)[1].arguments, **network.arguments}
        return Architecture(network.name, arguments, 1.0, (arguments["positions"],))

    def distillation_batches(
        self, ask: Ask, seed: int, _options: SoftOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training texts with the teacher's vectors."""
        ids_NT = self._ids("train")
        watcher.progress(f"asking the teacher about {len(ids_NT):,} texts")
        return ask_about(ids_NT, torch.zeros(len(ids_NT), dtype=torch.int64), ask, seed)

    def distillation(
        self, feed: DistillationBatches, options: EmbeddingOptions, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        """Return batches and objective to learn the teacher's vectors and its similarities to other texts."""
        if options.hard_weight:
            msg = "text embedding has no labels to learn; set hard_weight to 0"
            raise ModelError(msg)
        teacher_ND = feed.answers[0][0]
        some = torch.randperm(len(teacher_ND), generator=seed_generator(feed.seed, 1))[:GALLERY]
        gallery_KD = teacher_ND[some].float()
        return feed, taught_vectors(gallery_KD, options.loss, options.temperature, 0.0, options.cosine_weight)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures the share of the teacher's neighbours that an encoder keeps."""
        ids_NT = self._ids(split).numpy()
        wanted_NK = nearest(run_on_texts(load_model(self.teacher)[0], ids_NT), NEIGHBOURS)
        return lambda module: float(share_kept(nearest(run_on_texts(module, ids_NT), NEIGHBOURS), wanted_NK).mean())

    def calibration(self) -> NDArray[np.int64]:
        """Return the tokens of the calibration split."""
        return self._ids("calibration").numpy()

    def held_out_inputs(self, split: str) -> NDArray[np.int64]:
        """Return the tokens of an evaluation split."""
        return self._ids(split).numpy()

    def reference(self, module: nn.Module) -> Vectors:
        """Return the vectors (N, D) of the training-time encoder for the gate split."""
        return run_on_texts(module, self._ids("gate").numpy())

    def _ids(self, split: str) -> Tensor:
        return tokens_of(self.data, split, self.teacher)
