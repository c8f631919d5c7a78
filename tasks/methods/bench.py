"""What every method of the compress stage works with: the data, the teacher, the model before it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from models.checkpoint import Architecture, load_model
from models.training import Feed, Objective, fit
from models.workloads.image_classification import ImageClassification
from tasks.artifact import verify
from tasks.job import Job
from tasks.measure import plan_of
from tasks.recipe_steps import Lesson

Compressed = tuple[nn.Module, Architecture]


@dataclass(frozen=True)
class Bench:
    """All that a method may use."""

    job: Job
    data: Path
    workload: ImageClassification

    @cached_property
    def previous(self) -> Compressed:
        """The model before this step, with its architecture."""
        return load_model(self.job.inputs["previous"])

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return int(self.job.settings["seed"])

    def taught(self, lesson: Lesson) -> tuple[Feed, Objective]:
        """Prepare the teacher's cached answers and the loss that uses them."""
        teacher, _ = load_model(self.job.inputs["teacher"])
        feed = self.workload.taught_feed(
            self.data,
            teacher,
            self.seed,
            views=lesson.views,
            cache=self._answers(),
            watcher=self.job,
        )
        return feed, self.workload.taught_objective(lesson.temperature, lesson.hard_weight)

    def _answers(self) -> Path:
        """Where this teacher's answers are kept, for every step and every night that asks for them."""
        return self.job.shared / "teacher_answers" / verify(self.job.inputs["teacher"]).digest

    def learn(self, module: nn.Module, lesson: Lesson, part: str = "training") -> nn.Module:
        """Train a module from the teacher's answers, in place.

        Args:
            module: the student.
            lesson: how.
            part: names the checkpoint, where a step trains more than once.
        """
        feed, objective = self.taught(lesson)
        fit(
            module,
            feed,
            objective,
            plan_of(lesson.training, self.seed),
            checkpoint=self.job.scratch / f"{part}.safetensors",
            score=self.workload.scorer(self.data, "search"),
            watcher=self.job,
        )
        return module
