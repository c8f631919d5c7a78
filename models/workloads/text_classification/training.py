"""Training of text classification: a student learns the class probabilities of a user's own classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.texts import load_text_labels
from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.distillation.objectives import taught_objective
from stillhouse.models.distillation.texts import ask_about, run_on_texts, tokens_of
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.bert_classifier import adopt_text_classifier
from stillhouse.models.inspection.source import Source
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.loop import Objective, ProgressReporter
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_teacher import ReadTeacher
from stillhouse.models.workloads.training_base import (
    Ask,
    LogitOptions,
    Network,
    SoftOptions,
    Training,
)


class TextClassification(ReadTeacher):
    """One classifier, read from a folder."""

    untrained = "text classification trains no teacher of its own; name your model's folder in teacher.folder"

    def adopt(self, source: Source, data: Path) -> Adopted:
        """Read a user's classifier.

        Raises:
            ModelError: it is no BERT-like classifier in safetensors, or its labels are not those of the data.
        """
        return adopt_text_classifier(source, data)

    def quality(self, data: Path, teacher: Path, module: nn.Module) -> float:
        """Measure accuracy on the split `validation`. The tokenizer is in the teacher's folder."""
        return TextClassifier(data, teacher / ALONE).scorer("validation")(module)

    def component(self, _name: str, data: Path, teacher: Path, _previous: Path) -> "TextClassifier":
        """Return the only component."""
        return TextClassifier(data, teacher / ALONE)

    def about(self, data: Path, _model: Path) -> dict[str, Any]:
        """Return the names of the classes."""
        return {"labels": describe(data)["labels"]}


TRAINING: Training = TextClassification()


@dataclass(frozen=True)
class TextClassifier:
    """The classifier: its training data, its evaluation and its calibration."""

    data: Path
    teacher: Path
    """Folder of the teacher's classifier."""
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this teacher's tokens. Sizes that are left out are those of the teacher."""
        arguments = {**load_model(self.teacher)[1].arguments, **network.arguments}
        return Architecture(network.name, arguments, 1.0, (arguments["positions"],))

    def distillation_batches(
        self, ask: Ask, seed: int, _options: SoftOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training texts with their labels and the teacher's logits."""
        ids_NT = self._ids("train")
        watcher.progress(f"asking the teacher about {len(ids_NT):,} texts")
        return ask_about(ids_NT, self._labels("train"), ask, seed)

    def distillation(
        self, feed: DistillationBatches, options: LogitOptions, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        """Return batches and objective to learn the teacher's logits and the labels."""
        relations = 0.0 if options.features else options.rkd_weight or 0.0
        return feed, taught_objective(options.loss, options.temperature, options.hard_weight, relations)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures accuracy on a split."""
        ids_NT, labels_N = self._ids(split).numpy(), self._labels(split).numpy()
        return lambda module: float((run_on_texts(module, ids_NT).argmax(1) == labels_N).mean())

    def calibration(self) -> NDArray[np.int64]:
        """Return the tokens of the calibration split."""
        return self._ids("calibration").numpy()

    def held_out_inputs(self, split: str) -> NDArray[np.int64]:
        """Return the tokens of an evaluation split."""
        return self._ids(split).numpy()

    def reference(self, module: nn.Module) -> NDArray[np.float32]:
        """Return the logits (N, K) of the training-time classifier for the gate split."""
        return run_on_texts(module, self._ids("gate").numpy())

    def _ids(self, split: str) -> Tensor:
        return tokens_of(self.data, split, self.teacher)

    def _labels(self, split: str) -> Tensor:
        return torch.from_numpy(load_text_labels(self.data, split))
