"""What every method of the compress stage works with: the data, the teacher, the model before it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from models.checkpoint import Architecture, load_model
from models.compression.features import projected_student
from models.compression.objectives import hinted_objective, taught_objective
from models.compression.requantize import dequantize_for_edit
from models.compression.spaces import taught_letters, taught_vectors
from models.training import Objective, fit
from models.workloads.image_classification import ImageClassification
from models.workloads.retrieval import Tower
from models.workloads.taught import TaughtFeed
from models.workloads.written import WrittenFeed, written_feed
from tasks.errors import StillhouseError
from tasks.job import Job
from tasks.measure import plan_of
from tasks.methods.teachers import asked, reading
from tasks.recipe_steps import Lesson

Compressed = tuple[nn.Module, Architecture]


@dataclass(frozen=True)
class Bench:
    """All that a method may use."""

    job: Job
    data: Path
    workload: ImageClassification | Tower

    @cached_property
    def stored(self) -> Compressed:
        """The model before this step as it is on disk, with its architecture."""
        return load_model(self.job.inputs["previous"])

    @cached_property
    def previous(self) -> Compressed:
        """The model before this step, ready to be changed: in floats, also where it is stored as integers."""
        module, architecture = load_model(self.job.inputs["previous"])
        return (
            (module, architecture) if architecture.quantization is None else dequantize_for_edit(module, architecture)
        )

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return int(self.job.settings["seed"])

    def taught(self, lesson: Lesson) -> tuple[TaughtFeed | WrittenFeed, Objective]:
        """Prepare the teacher's cached answers, and the loss that uses its logits on any module."""
        ask = asked(self.job, self.data, lesson)
        feed = self.workload.taught_feed(
            self.data, ask, self.seed, views=lesson.views, blends=lesson.blends, watcher=self.job
        )
        relations = 0.0 if lesson.features else lesson.relations or 0.0
        if isinstance(self.workload, Tower):
            if lesson.relations or lesson.features:
                msg = "a tower learns relations through its gallery; set regression, not relations or features"
                raise StillhouseError(msg)
            gallery_KD = self.workload.gallery(self.data)
            vectors = taught_vectors(gallery_KD, lesson.loss, lesson.temperature, lesson.hard_weight, lesson.regression)
            if not lesson.letters:
                return feed, vectors
            return written_feed(self.data, feed, reading(self.job)), taught_letters(vectors, lesson.letters)
        if lesson.regression or lesson.letters:
            msg = "regression and letters are for a tower; this model has logits: remove them, or use relations"
            raise StillhouseError(msg)
        return feed, taught_objective(lesson.loss, lesson.temperature, lesson.hard_weight, relations)

    def learn(self, module: nn.Module, lesson: Lesson, part: str = "training") -> nn.Module:
        """Train a module from the teacher's answers, in place.

        Args:
            module: the student.
            lesson: how.
            part: names the checkpoint, where a step trains more than once.
        """
        feed, objective = self.taught(lesson)
        student: AbstractContextManager[nn.Module] = nullcontext(module)
        if lesson.features is not None:
            assert isinstance(feed, TaughtFeed)  # noqa: S101 - a tower, which alone has other feeds, has no hints
            objective = hinted_objective(objective, lesson.features.weight, lesson.relations or 0.0)
            width, image_NCHW = feed.answers[1].shape[-1], feed.views[0, :1].float()
            student = projected_student(module, lesson.features.student, width, image_NCHW, self.seed)
        with student as learner:
            fit(
                learner,
                feed,
                objective,
                plan_of(lesson.training, self.seed),
                checkpoint=self.job.scratch / f"{part}.safetensors",
                score=self.workload.scorer(self.data, "search"),
                watcher=self.job,
            )
        return module
