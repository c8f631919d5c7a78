"""The step context: the data, the teacher and the previous model that every compression method uses."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from stillhouse.models.compression.quantization.requantize import dequantize_for_edit
from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.distillation.features import project_student
from stillhouse.models.distillation.objectives import add_feature_loss
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.loop import BatchSource, Objective, fit
from stillhouse.models.training.ranks import first_before_others
from stillhouse.models.workloads.training_base import Component
from stillhouse.tasks.compression.measure import train_config_of
from stillhouse.tasks.compression.teachers import asker_of, make_asker, reading
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.distillation import Distillation, LogitDistillation

Compressed = tuple[nn.Module, Architecture]


@dataclass(frozen=True)
class StepContext:
    """Everything that a compression method may use."""

    job: Job
    data: Path
    component: Component

    @cached_property
    def stored(self) -> Compressed:
        """The model before this step as it is on disk, with its architecture."""
        return load_model(self.job.inputs["previous"])

    @cached_property
    def previous(self) -> Compressed:
        """The model before this step, ready to be changed. Its weights are floats, even if it is stored as integers."""
        module, architecture = load_model(self.job.inputs["previous"])
        return (
            (module, architecture) if architecture.quantization is None else dequantize_for_edit(module, architecture)
        )

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return int(self.job.settings["seed"])

    def taught(self, distillation: Distillation) -> tuple[BatchSource, Objective]:
        """Return the batches with the teacher's cached outputs, and the loss that uses them on any module."""
        feed = self._ask_teacher(distillation)
        return self.component.distillation(feed, distillation, lambda: reading(self.job))

    def _ask_teacher(self, distillation: Distillation) -> BatchSource:
        own, precision = getattr(self.component, "question", None), distillation.training.precision
        ask = asker_of(self.job, own(distillation), precision) if own else make_asker(self.job, self.data, distillation)
        with first_before_others():
            return self.component.distillation_batches(ask, self.seed, distillation, self.job)

    def learn(self, module: nn.Module, distillation: Distillation, part: str = "training") -> nn.Module:
        """Train a module on the teacher's outputs, in place.

        Args:
            module: the student.
            distillation: the distillation section of the step.
            part: name of the checkpoint, for a step that trains more than once.
        """
        feed, objective = self.taught(distillation)
        student: AbstractContextManager[nn.Module] = nullcontext(module)
        if isinstance(distillation, LogitDistillation) and distillation.features is not None:
            assert isinstance(feed, DistillationBatches)  # noqa: S101 - logits are learned from no other
            objective = add_feature_loss(objective, distillation.features.weight, distillation.rkd_weight or 0.0)
            width, image_NCHW = feed.answers[1].shape[-1], feed.views[0, :1].float()
            student = project_student(module, distillation.features.student, width, image_NCHW, self.seed)
        with student as learner:
            fit(
                learner,
                feed,
                objective,
                train_config_of(distillation.training, self.seed),
                checkpoint=self.job.scratch / f"{part}.safetensors",
                score=self.component.scorer("validation"),
                watcher=self.job,
            )
        return module
