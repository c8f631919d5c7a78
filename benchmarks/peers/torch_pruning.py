"""Peer Torch-Pruning: channels of the teacher go until our share of its work is left, then training recovers it.

The same data, epochs, batches and learning rates as all of our student's lessons together; without and with the
teacher's answers; exported in fp32 and as ONNX Runtime's best int8.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch_pruning as tp
from torch import Tensor, nn

from benchmarks.peers import onnxruntime
from benchmarks.peers.request import Made, Request, Variant, answer
from stillhouse.models.distillation.logit import distillation_loss, teacher_logits
from stillhouse.models.distillation.objectives import cross_entropy_objective
from stillhouse.models.onnx.export import export_model
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.loop import Batch, BatchSource, Objective, TrainConfig, fit
from stillhouse.models.workloads.image_classification.examples import LabelledBatches, load_examples
from stillhouse.models.workloads.image_classification.training import Classifier

STEPS, GRADIENT_BATCHES = 20, 4


class Screen:
    """Show progress on standard output."""

    def progress(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep nothing: the deployable is measured."""


@dataclass(frozen=True)
class Recovered:
    """One pruned and recovered network, trained when the first deployable asks for it."""

    request: Request
    share: float
    taught: bool
    done: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _lesson(self) -> tuple[BatchSource, Objective]:
        training, data = self.request.training, Path(self.request.data)
        if not self.taught:
            feed = LabelledBatches(load_examples(data, "train"), self.request.seed, augment=True, resolutions=None)
            return feed, cross_entropy_objective(0.0)
        teacher, _ = load_model(Path(self.request.checkpoint))
        feed = Classifier(data).distillation_batches(
            lambda images_NCHW: (teacher_logits(teacher, images_NCHW),),
            self.request.seed,
            Views(training["augmented_views"], training["mixup_views"]),
            Screen(),
        )
        return feed, taught_objective(training)

    @cached_property
    def _pruned(self) -> tuple[nn.Module, Architecture]:
        teacher, architecture = load_model(Path(self.request.checkpoint))
        module = copy.deepcopy(teacher)
        example = architecture.example()
        original, _ = tp.utils.count_ops_and_params(module, example)
        for _ in pruning(module, example, partial(self._fill_gradients, module)):
            macs, parameters = tp.utils.count_ops_and_params(module, example)
            if macs <= self.share * original:
                self.done.update(macs_share=macs / original, parameters=int(parameters))
                return module, architecture
        msg = f"no more than {1 - macs / original:.1%} of the multiply-accumulates could be pruned"
        raise RuntimeError(msg)

    def _fill_gradients(self, module: nn.Module) -> None:
        feed, objective = self._lesson
        for batch, _ in zip(feed.epoch(0, 256), range(GRADIENT_BATCHES), strict=False):
            objective(module, batch).backward()

    @cached_property
    def trained(self) -> tuple[nn.Module, Architecture]:
        """Prune and recover."""
        module, architecture = self._pruned
        feed, objective = self._lesson
        keys = ("epochs", "batch_size", "learning_rate", "weight_decay", "optimizer", "precision", "warmup")
        plan = TrainConfig(**{key: self.request.training[key] for key in keys}, seed=self.request.seed)
        score = Classifier(Path(self.request.data)).scorer("validation")
        scratch = Path(self.request.calibration).parent / f"pruned-{self.share:.4f}-{self.taught}.safetensors"
        scratch.unlink(missing_ok=True)
        fit(module, feed, objective, plan, checkpoint=scratch, score=score, watcher=Screen())
        return module, architecture


@dataclass(frozen=True)
class Views:
    """What the teacher is asked about, as a recipe's distillation says."""

    augmented_views: int
    mixup_views: int


def taught_objective(training: dict[str, Any]) -> Objective:
    """Distillation loss as our lessons use it."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        images_BCHW, labels_B, teacher_BK = batch
        temperature, hard_weight = training["temperature"], training["hard_weight"]
        return distillation_loss(model(images_BCHW), teacher_BK, labels_B, temperature, hard_weight, training["loss"])

    return objective


def pruning(module: nn.Module, example: Tensor, fill_gradients: Callable[[], None]) -> Iterator[None]:
    """Prune in place in small steps, as Torch-Pruning's README shows it, with its Taylor importance."""
    pruner = tp.pruner.BasePruner(
        module,
        example,
        importance=tp.importance.GroupTaylorImportance(),
        global_pruning=False,
        pruning_ratio=0.95,
        iterative_steps=STEPS,
        ignored_layers=[layer for layer in module.modules() if isinstance(layer, nn.Linear)],
        round_to=8,
    )
    for _ in range(STEPS):
        fill_gradients()
        pruner.step()
        module.zero_grad()
        yield


def fp32(recovered: Recovered, request: Request, folder: Path) -> Made:
    """Export in fp32, batch norms folded, as our own teacher is."""
    module, architecture = recovered.trained
    path = folder / "model.onnx"
    export_model(module, architecture, request.images(), path)
    return Made("onnxruntime", (str(path),), dict(recovered.done), trained=True)


def int8(recovered: Recovered, request: Request, folder: Path) -> Made:
    """Export as ONNX Runtime's best int8."""
    path = fp32(recovered, request, folder).files[0]
    floats = Request(**{**request.__dict__, "onnx": path})
    (folder / "int8").mkdir()
    made = onnxruntime.best(floats, folder / "int8")
    return Made(made.runtime, made.files, dict(recovered.done) | made.options, trained=True)


def variants(request: Request) -> Mapping[str, Variant]:
    """Name what is made; both exports of one pruning share its training."""
    found: dict[str, Variant] = {}
    for share in request.macs_shares:
        for taught in (False, True):
            recovered = Recovered(request, share, taught)
            what = f"{share:.1%} of MACs, {'distilled' if taught else 'labels only'}"
            found[f"{what}, fp32"] = partial(fp32, recovered)
            found[f"{what}, int8"] = partial(int8, recovered)
    return found


if __name__ == "__main__":
    answer("Torch-Pruning", ("torch-pruning", "torch", "onnxruntime"), variants)
