"""What the core asks of a workload when it trains and compresses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.loop import BatchSource, Objective, ProgressReporter
from stillhouse.models.workloads.registry import resolve

Ask = Callable[[Tensor], tuple[Tensor, ...]]
"""Raw inputs (N, ...) -> what a teacher says of them: logits or vectors (N, K), then more."""
Built = Mapping[str, tuple[nn.Module, Architecture]]
"""Component -> its module and how that was built."""


class Network(Protocol):
    """A network as a recipe names it."""

    @property
    def name(self) -> str:
        """A name of `models.networks.registry`."""

    @property
    def arguments(self) -> dict[str, Any]:
        """What it is built with."""


class TeacherOptions(Protocol):
    """What a recipe's training section says beside the plan of the loop."""

    @property
    def augment(self) -> bool:
        """Show every example in new views."""

    @property
    def erase(self) -> bool:
        """Black out a part of some images."""

    @property
    def resolutions(self) -> tuple[int, ...] | None:
        """Side of the images in each epoch; None keeps their own."""

    @property
    def label_smoothing(self) -> float:
        """Share of the label that goes to all classes."""


class DistillationOptions(Protocol):
    """How a student learns from its teacher's answers, whatever the kind."""

    @property
    def kind(self) -> str:
        """`logits`, `embedding`, `ctc`, or a word of a workload's own."""

    @property
    def augmented_views(self) -> int:
        """Views of every training example on which the teacher is asked."""


class SoftOptions(DistillationOptions, Protocol):
    """What the kinds share that soften what the teacher says."""

    @property
    def loss(self) -> str:
        """A name of LOGIT_LOSSES."""

    @property
    def temperature(self) -> float:
        """What softens both sides."""

    @property
    def hard_weight(self) -> float:
        """Share of the labels' loss."""

    @property
    def mixup_views(self) -> int:
        """Further views, each blended with another example."""


class LogitOptions(SoftOptions, Protocol):
    """Of the kind `logits`."""

    @property
    def rkd_weight(self) -> float | None:
        """Weight of the relational loss."""

    @property
    def features(self) -> object | None:
        """Layers whose features are learned too."""


class EmbeddingOptions(SoftOptions, Protocol):
    """Of the kind `embedding`."""

    @property
    def cosine_weight(self) -> float:
        """Weight of one minus the cosine to the teacher's vector."""


class CtcOptions(EmbeddingOptions, Protocol):
    """Of the kind `ctc`."""

    @property
    def ctc_kl_weight(self) -> float:
        """Weight of the divergence from the teacher's letters."""


@dataclass(frozen=True)
class TeacherTraining:
    """What a teacher is trained with."""

    learner: nn.Module
    """Holds all components, and what is thrown away after training."""
    feed: BatchSource
    objective: Objective


class Component(Protocol):
    """One component of a model while it is compressed, beside the others as they are."""

    @property
    def name(self) -> str:
        """Its name in the bundle."""

    def architecture(self, network: Network) -> Architecture:
        """Describe a new network for it."""

    def distillation_batches(self, ask: Ask, seed: int, options: Any, watcher: ProgressReporter) -> DistillationBatches:  # noqa: ANN401 - see below
        """Feed the training split with what the teacher says of every view.

        Args:
            ask: asks the teacher.
            seed: of the views.
            options: the recipe's `DistillationOptions`, of a kind that the component knows.
            watcher: is told how far it is.
        """

    def distillation(
        self,
        feed: DistillationBatches,
        options: Any,  # noqa: ANN401 - of the kind that the component's workload says
        read: Callable[[], Callable[[Tensor], Tensor]],
    ) -> tuple[BatchSource, Objective]:
        """Give what a student is trained with.

        Args:
            feed: the teacher's answers.
            options: the recipe's `DistillationOptions`, of a kind that the component knows.
            read: opens what asks the teacher to read text as if heard; only a component that spells needs it.
        """

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Prepare to measure the quality of the model with this component."""

    def calibration(self) -> NDArray[Any]:
        """Raw inputs of the calibration split."""

    def judged(self, split: str) -> NDArray[Any]:
        """Raw inputs that a judged split keeps from training; none where all splits have the same."""

    def reference(self, module: nn.Module) -> NDArray[Any]:
        """Answers of the training-time module on the gate split, for holding the exported one against it."""


class Training(Protocol):
    """A workload when it trains and compresses."""

    @property
    def components(self) -> Sequence[str]:
        """All components that a model may have, in their order."""

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Refuse a recipe that does not fit, before anything is trained.

        Args:
            components: of the teacher.
            distillations: component -> how its students learn, step by step.

        Raises:
            ModelError: a component is missing or unknown, or cannot learn so; names the remedy.
        """

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the teacher's networks for this data.

        Raises:
            ModelError: they do not go with the data.
        """

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Prepare to train a teacher's components together."""

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Prepare to measure the quality of a whole model.

        Raises:
            ModelError: the split asks what the model has no component for.
        """

    def component(self, name: str, data: Path, teacher: Path, previous: Path) -> Component:
        """Give a component, with the folders of the teacher's and of the previous model's components."""

    def about(self, data: Path) -> dict[str, Any]:
        """Say of a bundle what belongs to the data, such as `labels`."""


def training_of(workload: str) -> Training:
    """Import a workload's face for what trains.

    Raises:
        ModelError: there is no such workload.
    """
    face: Training = resolve(workload, "training")
    return face
