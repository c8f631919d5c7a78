"""Training interface of a workload: teacher training and compression."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.device import Precision
from stillhouse.models.training.loop import BatchSource, Objective, ProgressReporter
from stillhouse.models.workloads.registry import resolve

Ask = Callable[[Tensor], tuple[Tensor, ...]]
"""Raw inputs (N, ...) -> a teacher's outputs: logits or vectors (N, K), then optional others."""
Built = Mapping[str, tuple[nn.Module, Architecture]]
"""Component -> its module and the module's architecture."""


class Network(Protocol):
    """A network of a recipe."""

    @property
    def name(self) -> str:
        """Name of the network in `models.networks.registry`."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the network."""


class TeacherOptions(Protocol):
    """Options of a recipe's training section that a workload reads."""

    @property
    def precision(self) -> Precision:
        """Precision of the multiplications."""

    @property
    def augment(self) -> bool:
        """Augment every example with new views."""

    @property
    def erase(self) -> bool:
        """Erase a part of some images."""

    @property
    def resolutions(self) -> tuple[int, ...] | None:
        """Side of the images in each epoch. None keeps the original size."""

    @property
    def label_smoothing(self) -> float:
        """Share of the label that is spread over all classes."""


class DistillationOptions(Protocol):
    """Options common to all kinds of distillation."""

    @property
    def kind(self) -> str:
        """`logits`, `embedding`, `ctc`, or a workload's own word."""

    @property
    def augmented_views(self) -> int:
        """Number of views of every training example for which the teacher's outputs are computed."""


class SoftOptions(DistillationOptions, Protocol):
    """Options of the kinds of distillation that soften the teacher's outputs."""

    @property
    def loss(self) -> str:
        """A key of LOGIT_LOSSES."""

    @property
    def temperature(self) -> float:
        """Softens the logits of student and teacher."""

    @property
    def hard_weight(self) -> float:
        """Share of the loss on the labels."""

    @property
    def mixup_views(self) -> int:
        """Number of additional views, each mixed with another example."""


class LogitOptions(SoftOptions, Protocol):
    """Options of the kind `logits`."""

    @property
    def rkd_weight(self) -> float | None:
        """Weight of the relational loss."""

    @property
    def features(self) -> object | None:
        """Layers whose features are distilled too."""


class EmbeddingOptions(SoftOptions, Protocol):
    """Options of the kind `embedding`."""

    @property
    def cosine_weight(self) -> float:
        """Weight of one minus the cosine to the teacher's vector."""


class CtcOptions(EmbeddingOptions, Protocol):
    """Options of the kind `ctc`."""

    @property
    def ctc_kl_weight(self) -> float:
        """Weight of the KL divergence from the teacher's letters."""


def _as_trained(built: Built, _watcher: ProgressReporter) -> Built:
    return built


@dataclass(frozen=True)
class TeacherTraining:
    """Module, batches and objective of a teacher's training."""

    learner: nn.Module
    """Module with all components, and with parts that are discarded after training."""
    feed: BatchSource
    objective: Objective
    settle: Callable[[Built, ProgressReporter], Built] = _as_trained
    """Sets what is no weight, such as the sampler of a generator, by the split `validation`. It runs after training."""


class Component(Protocol):
    """One component of a model during its compression. The other components do not change."""

    @property
    def name(self) -> str:
        """Name of the component in the bundle."""

    def architecture(self, network: Network) -> Architecture:
        """Describe a new network for it."""

    def distillation_batches(self, ask: Ask, seed: int, options: Any, watcher: ProgressReporter) -> BatchSource:  # noqa: ANN401 - see below
        """Return the training split with the teacher's outputs for every view, in a form of the workload's own.

        Args:
            ask: runs the teacher.
            seed: seed of the views.
            options: the recipe's `DistillationOptions`, of a kind that the component supports.
            watcher: receives the progress.
        """

    def distillation(
        self,
        feed: Any,  # noqa: ANN401 - what `distillation_batches` returned
        options: Any,  # noqa: ANN401 - of the kind that the component's workload says
        read: Callable[[], Callable[[Tensor], Tensor]],
    ) -> tuple[BatchSource, Objective]:
        """Return batches and objective of a student's training.

        Args:
            feed: distillation batches with the teacher's outputs.
            options: the recipe's `DistillationOptions`, of a kind that the component supports.
            read: returns a function that lets the teacher read text as heard letters. Only a CTC encoder needs it.
        """

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures the quality of the model with this component."""

    def calibration(self) -> NDArray[Any]:
        """Return the raw inputs of the calibration split."""

    def held_out_inputs(self, split: str) -> NDArray[Any]:
        """Return the raw inputs of an evaluation split that training must not use. Empty if all splits share them."""

    def reference(self, module: nn.Module) -> NDArray[Any]:
        """Return the outputs of the training-time module on the gate split, for comparison with the exported module."""


class Training(Protocol):
    """Training interface of a workload."""

    @property
    def components(self) -> Sequence[str]:
        """All components that a model may have, in order."""

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Refuse a recipe that does not fit, before any training.

        Args:
            components: components of the teacher.
            distillations: component -> distillation options of its students, step by step.

        Raises:
            ModelError: a component is missing or unknown, or does not support a kind of distillation. The message names
                the remedy.
        """

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the teacher's networks for this data.

        Raises:
            ModelError: the networks do not fit the data.
        """

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Prepare the common training of a teacher's components."""

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures the quality of a whole model.

        Raises:
            ModelError: the split needs a component that the model does not have.
        """

    def component(self, name: str, data: Path, teacher: Path, previous: Path) -> Component:
        """Return a component, given the folders of the teacher's and of the previous model's components."""

    def about(self, data: Path, model: Path) -> dict[str, Any]:
        """Return facts for the bundle, such as the `labels` of the data.

        Args:
            data: the materialised dataset.
            model: folder of the model's components.
        """


def training_of(workload: str) -> Training:
    """Import the training module of a workload.

    Raises:
        ModelError: there is no such workload.
    """
    face: Training = resolve(workload, "training")
    return face
