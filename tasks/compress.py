"""Stage `compress`, one per step of the recipe: load, apply, recover, save, the same for every method."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from models.checkpoint import Architecture, load_model, save_model
from models.compression.edits import layer_sizes
from models.compression.fold import fold_batch_norm, fold_pixel_scale
from models.compression.prune import IMPORTANCES, prune_channels, prune_global_l1
from models.compression.quantize import integer_weights
from models.training import Feed, Objective, fit
from models.workloads import WORKLOADS
from models.workloads.image_classification import ImageClassification
from tasks.artifact import verify
from tasks.job import Job, Metrics
from tasks.measure import plan_of, report_model
from tasks.pull_data import materialise
from tasks.recipe import Distil, PruneStructured, PruneUnstructured, Quantize, Recovery, Step


@dataclass(frozen=True)
class Bench:
    """All that a method may use."""

    job: Job
    data: Path
    workload: ImageClassification
    module: nn.Module
    architecture: Architecture

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return int(self.job.settings["seed"])

    def taught(self, lesson: Distil | Recovery) -> tuple[Feed, Objective]:
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

    def learn(self, module: nn.Module, lesson: Distil | Recovery) -> nn.Module:
        """Train a module from the teacher's answers, in place."""
        feed, objective = self.taught(lesson)
        fit(
            module,
            feed,
            objective,
            plan_of(lesson.training, self.seed),
            checkpoint=self.job.scratch / "training.safetensors",
            score=self.workload.scorer(self.data, "search"),
            watcher=self.job,
        )
        return module


Compressed = tuple[nn.Module, Architecture]


def compress(job: Job) -> Metrics:
    """Apply one step of the recipe to the model before it; returns the new model's measures."""
    step: Step = job.settings["step"]
    workload = WORKLOADS[job.settings["workload"]]
    data = materialise(job.inputs["data"])
    bench = Bench(job, data, workload, *load_model(job.inputs["previous"]))
    module, architecture = METHODS[step.method](bench, step)
    save_model(job.out, module, architecture)
    return report_model(job.out, module, architecture, workload.scorer(data, "search"))


def distil(bench: Bench, step: Distil) -> Compressed:
    """Train a new, smaller network from the teacher's answers."""
    architecture = bench.workload.architecture(bench.data, step.network.name, step.network.arguments)
    return bench.learn(architecture.build_seeded(bench.seed), step), architecture


def prune_unstructured(bench: Bench, step: PruneUnstructured) -> Compressed:
    """Zero the smallest weights over all layers."""
    prune_global_l1(bench.module, step.sparsity)
    return bench.module, bench.architecture


def prune_structured(bench: Bench, step: PruneStructured) -> Compressed:
    """Remove channels, then recover."""
    pruned = prune_channels(
        bench.module,
        bench.architecture.example(),
        step.macs,
        importance=IMPORTANCES[step.importance](),
        round_to=step.round_to,
        gradients=_gradients(bench, step),
    )
    architecture = bench.architecture.edited({"edit": "resize", "sizes": layer_sizes(pruned)})
    return bench.learn(pruned, step.recovery), architecture


def quantize(bench: Bench, step: Quantize) -> Compressed:
    """Fold pixel scale and batch norms, store integer weights, and note how activations are to be calibrated."""
    module = integer_weights(fold_batch_norm(fold_pixel_scale(bench.module)), step.bits)
    edits = (
        {"edit": "fold_pixel_scale"},
        {"edit": "fold_batch_norm"},
        {"edit": "integer_weights", "bits": step.bits},
    )
    return module, replace(bench.architecture.edited(*edits), calibration=step.calibration)


METHODS: dict[str, Callable[..., Compressed]] = {
    "distil": distil,
    "prune_unstructured": prune_unstructured,
    "prune_structured": prune_structured,
    "quantize": quantize,
}


def _gradients(bench: Bench, step: PruneStructured) -> Callable[[nn.Module], None] | None:
    if step.importance != "taylor":
        return None
    feed, objective = bench.taught(step.recovery)

    def fill(module: nn.Module) -> None:
        for batch, _ in zip(feed.epoch(0, 256), range(4), strict=False):
            objective(module, batch).backward()

    return fill
