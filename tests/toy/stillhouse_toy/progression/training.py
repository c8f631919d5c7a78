"""What trains: a teacher on the numbers that are known, a student on what the teacher says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from models import RANGE
from stillhouse.models.data.arrays import load_arrays
from stillhouse.models.distillation.batches import DistillationBatches, seed_generator, shuffle
from stillhouse.models.errors import ModelError
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.loop import Batch, Objective, ProgressReporter
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.training_base import Ask, Built, Network, TeacherOptions, TeacherTraining, Training
from stillhouse_toy.progression.runtime import quality_of


class Settings(BaseModel):
    """Of the kind `mean`."""

    known_weight: float = 0.5
    """Share of the loss that is the error to the known number."""


@dataclass(frozen=True)
class KnownNumbers:
    """Measurements and numbers, each epoch in a new order."""

    arrays_NM: Tensor
    targets_N: Tensor
    seed: int

    def batches_per_epoch(self, batch_size: int) -> int:
        return -(-len(self.targets_N) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        for index_B in shuffle(len(self.targets_N), batch_size, seed_generator(self.seed, epoch)):
            yield self.arrays_NM[index_B], self.targets_N[index_B]


def numbers(data: Path, split: str) -> tuple[Tensor, Tensor]:
    found = load_arrays(data, split)
    return torch.from_numpy(found.arrays), torch.from_numpy(found.targets_N).float()


def error(found_B1: Tensor, targets_B: Tensor) -> Tensor:
    return nn.functional.smooth_l1_loss(found_B1[:, 0] / RANGE, targets_B / RANGE)


@dataclass(frozen=True)
class Only:
    """The only component."""

    data: Path
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        shape = load_arrays(self.data, "train").arrays.shape[1:]
        return Architecture(network.name, dict(network.arguments), 1.0, shape)

    def distillation_batches(
        self, ask: Ask, seed: int, _options: Any, watcher: ProgressReporter
    ) -> DistillationBatches:
        arrays_NM, targets_N = numbers(self.data, "train")
        watcher.progress("asking the teacher")
        return DistillationBatches(arrays_NM[None], tuple(answer[None] for answer in ask(arrays_NM)), targets_N, seed)

    def distillation(
        self, feed: DistillationBatches, options: Any, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        known_weight = Settings.model_validate(options.settings).known_weight

        def objective(model: nn.Module, batch: Batch) -> Tensor:
            arrays_BM, targets_B, teacher_B1 = batch
            found_B1 = model(arrays_BM)
            return known_weight * error(found_B1, targets_B) + (1 - known_weight) * error(found_B1, teacher_B1[:, 0])

        return feed, objective

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        arrays_NM, targets_N = numbers(self.data, split)

        @torch.no_grad()
        def score(module: nn.Module) -> float:
            return float(quality_of(module.eval()(arrays_NM)[:, 0].numpy(), targets_N.numpy()).mean())

        return score

    def calibration(self) -> NDArray[Any]:
        return load_arrays(self.data, "calibration").arrays

    def held_out_inputs(self, split: str) -> NDArray[Any]:
        return load_arrays(self.data, split).arrays

    @torch.no_grad()
    def reference(self, module: nn.Module) -> NDArray[np.float32]:
        return module.eval()(numbers(self.data, "gate")[0])[:, 0].numpy()


class Progression:
    """One network, trained with known numbers."""

    components = (ALONE,)

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[Any]]) -> None:
        if tuple(components) != self.components:
            msg = "a model for progression has one network; set teacher.network"
            raise ModelError(msg)
        for options in distillations[ALONE]:
            if options.kind != "mean":
                msg = f"progression cannot learn by {options.kind}; set distillation kind mean"
                raise ModelError(msg)
            try:
                Settings.model_validate(options.settings)
            except ValidationError as fault:
                msg = f"distillation settings: {fault.errors()[0]['msg']}; mend them in the recipe"
                raise ModelError(msg) from fault

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        return {name: Only(data).architecture(network) for name, network in networks.items()}

    def teacher_training(self, data: Path, built: Built, _options: TeacherOptions, seed: int) -> TeacherTraining:
        def objective(model: nn.Module, batch: Batch) -> Tensor:
            arrays_BM, targets_B = batch
            return error(model(arrays_BM), targets_B)

        return TeacherTraining(built[ALONE][0], KnownNumbers(*numbers(data, "train"), seed), objective)

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        score = Only(data).scorer(split)
        return lambda modules: score(modules[ALONE])

    def component(self, _name: str, data: Path, _teacher: Path, _previous: Path) -> Only:
        return Only(data)

    def about(self, _data: Path, _model: Path) -> dict[str, Any]:
        return {}


TRAINING: Training = Progression()
