"""The compress stage on real digits: each method is applied, judged, kept or dropped with its reason."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from data_samples import make_house, make_job
from pydantic import TypeAdapter

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.quantization.quantize import dequantize
from stillhouse.models.data.images import load_images
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.checkpoint import load_model
from stillhouse.models.workloads.image_classification.examples import load_examples
from stillhouse.models.workloads.image_classification.training import answers
from stillhouse.tasks.artifacts.artifact import seal, verify
from stillhouse.tasks.judging.keep_step import STEP
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.recipe.steps import KeepStepIf, Step
from stillhouse.tasks.recipe.teacher import Teacher
from stillhouse.tasks.stages.compress import compress
from stillhouse.tasks.stages.pull import materialise, pull_data
from stillhouse.tasks.stages.teacher import train_teacher

DIGITS = Data(dataset="digits")
QUICK = {"epochs": 4, "batch_size": 50, "learning_rate": 0.02, "optimizer": "adamw"}
LESSON = {"training": QUICK}
PLAIN = {"name": "plain", "arguments": {"widths": [32, 32, 32], "strides": [2, 1, 1], "pool": 4}}
TEACHER = {"network": PLAIN, "training": QUICK | {"epochs": 12}}


@dataclass(frozen=True)
class Bench:
    """A pulled data set and a trained teacher, ready for steps."""

    root: Path
    data: Path
    teacher: Path

    def step(self, previous: Path, name: str, step: dict[str, Any], **worth: float) -> Path:
        """Run one step after another model; returns its finished output."""
        job = self.job(previous, name, step, **worth)
        seal(job.out, compress(job))
        return job.out

    def job(self, previous: Path, name: str, step: dict[str, Any], **worth: float) -> Job:
        """Describe one step after another model."""
        parsed: Any = TypeAdapter(Step).validate_python(step)
        settings = {"seed": 3, "workload": "image_classification", "step": parsed, "keep_step_if": KeepStepIf(**worth)}
        inputs = {"data": self.data, "teacher": self.teacher, "previous": previous}
        return replace(make_job(self.root / name, DIGITS), settings=settings, inputs=inputs)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Pull the digits and train a small teacher on them, once."""
    root = tmp_path_factory.mktemp("compress")
    with pytest.MonkeyPatch.context() as patch:
        make_house(root / "house", patch)
        pulled = make_job(root / "pull", DIGITS)
        seal(pulled.out, pull_data(pulled))
        job = make_job(root / "teacher", DIGITS)
        teacher = Teacher.model_validate(TEACHER)
        settings = {"seed": 3, "workload": "image_classification", "teacher": teacher}
        metrics = train_teacher(replace(job, settings=settings, inputs={"data": pulled.out}))
        assert metrics["validation_quality"] > 0.85
        seal(job.out, metrics)
        yield Bench(root, pulled.out, job.out)


STEPS: dict[str, dict[str, Any]] = {
    "distil": {"method": "distil", "network": PLAIN | {"arguments": PLAIN["arguments"] | {"widths": [16, 16, 16]}}}
    | {"distillation": {"training": QUICK | {"epochs": 12}}},
    "prune_global": {"method": "prune_unstructured", "sparsity": 0.4},
    "prune_movement": {"method": "prune_unstructured", "sparsity": 0.4, "measure": "movement", "finetune": LESSON},
    "prune_2_of_4": {"method": "prune_unstructured", "pattern": "2:4", "finetune": LESSON},
    "prune_macs": {"method": "prune_structured", "macs": 0.6, "finetune": LESSON},
    "prune_bytes": {"method": "prune_structured", "bytes": 16_000, "importance": "lamp", "finetune": LESSON},
    "prune_in_rounds": {"method": "prune_structured", "macs": 0.6, "rounds": 2, "finetune": LESSON},
    "drop_layers": {"method": "drop_layers", "layers": 1, "finetune": LESSON},
    "low_rank": {"method": "low_rank", "energy": 0.7, "finetune": LESSON},
    "fold": {"method": "fold"},
    "quantize": {"method": "quantize"},
    "quantize_float": {"method": "quantize", "activations": "float"},
    "quantize_int4": {"method": "quantize", "weights": "int4", "distillation": LESSON},
    "quantize_int3": {"method": "quantize", "weights": "int3", "distillation": LESSON},
    "quantize_ternary": {"method": "quantize", "weights": "ternary", "distillation": LESSON},
    "quantize_mixed": {"method": "quantize", "weights": "mixed", "max_quality_drop": 0.02},
    "pack": {"method": "pack"},
}


REPEATED = {
    *("prune_movement", "prune_2_of_4", "prune_in_rounds", "prune_macs"),
    *("quantize_float", "quantize_int3", "quantize_ternary", "quantize_mixed"),
}
"""Settings of methods that run with other settings too."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in REPEATED else []) for name in STEPS]
)
def test_a_step_of_a_recipe_is_applied_and_kept(context: Bench, name: str) -> None:
    """Every method makes the teacher's file smaller or faster at a bearable price, and says by how much."""
    out = context.step(context.teacher, name, STEPS[name], max_quality_drop=0.4, min_saving=0.001)
    step = json.loads((out / STEP).read_text())
    assert step["kept"], step["reason"]
    assert step["reason"].startswith("kept: ")
    expect_answers(context, out)


def expect_answers(context: Bench, out: Path) -> None:
    """The exported file and the checkpoint, both read back, agree on the validation split as far as rounding allows."""
    data = materialise(context.data)
    module, _ = load_model(out / "model")
    images = load_images(data, "validation")
    shipped = predict(open_session(deployable(out / "model", "model")), images.images_NCHW).argmax(1)
    trained = answers(module, load_examples(data, "validation")).numpy()
    assert (shipped == trained).mean() >= 0.95
    assert (trained == images.labels_N).mean() == pytest.approx(verify(out).metrics["validation_quality"])


@pytest.mark.parametrize(
    ("name", "step", "reason"),
    [
        ("costly", {"method": "prune_unstructured", "sparsity": 0.97}, r"dropped: .*points of quality, and one step"),
        ("idle", {"method": "prune_unstructured", "sparsity": 0.001}, r"dropped as neither smaller nor faster"),
        (
            "diverged",
            {"method": "prune_structured", "macs": 0.6, "finetune": {"training": QUICK | {"learning_rate": 1e30}}},
            r"dropped: the loss became (nan|inf)",
        ),
    ],
)
def test_a_worthless_step_is_dropped(context: Bench, name: str, step: dict[str, Any], reason: str) -> None:
    """A step that costs too much, gains nothing or diverges leaves the model before it as it was, and says why."""
    out = context.step(context.teacher, name, step, max_quality_drop=0.05, min_saving=0.05)
    judged = json.loads((out / STEP).read_text())
    assert not judged["kept"]
    assert re.search(reason, judged["reason"]), judged["reason"]
    before, after = (load_model(folder / "model")[0].state_dict() for folder in (context.teacher, out))
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)


def test_steps_may_come_in_any_order(context: Bench) -> None:
    """Integers are opened for a later step and closed again after it; the file stays an integer one."""
    integers = context.step(context.teacher, "first_quantize", STEPS["quantize"], max_quality_drop=0.4)
    pruned = context.step(integers, "then_prune", STEPS["prune_macs"], max_quality_drop=0.4, min_saving=0.001)
    assert json.loads((pruned / STEP).read_text())["kept"]
    _, architecture = load_model(pruned / "model")
    assert architecture.quantization is not None
    expect_answers(context, pruned)
    macs = [
        macs_and_parameters(dequantize(load_model(folder / "model")[0]), architecture.example())[0]
        for folder in (integers, pruned)
    ]
    assert macs[1] <= 0.61 * macs[0]


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def test_a_pruning_killed_in_its_second_round_ends_with_the_same_weights(context: Bench) -> None:
    """Taken up again, the channels go as before, the first round's recovery is read, the second's goes on."""
    step = STEPS["prune_in_rounds"]
    undisturbed = context.step(context.teacher, "undisturbed", step, max_quality_drop=0.4, min_saving=0.001)
    job = context.job(context.teacher, "killed", step, max_quality_drop=0.4, min_saving=0.001)
    trained: list[int] = []

    def kill_in_second_round(epoch: int, _metrics: object) -> None:
        trained.append(epoch)
        if len(trained) == 4:
            raise Killed

    with pytest.raises(Killed):
        compress(replace(job, record=kill_in_second_round))
    assert trained == [1, 2, 1, 2]
    trained.clear()
    compress(replace(job, record=lambda epoch, _metrics: trained.append(epoch)))
    assert trained == [2]
    before, after = (load_model(folder / "model")[0].state_dict() for folder in (undisturbed, job.out))
    assert all(torch.equal(before[name], after[name]) for name in before)
