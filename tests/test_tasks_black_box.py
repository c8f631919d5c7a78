"""A recipe's teacher known only as a file: checked, adopted, asked, and shipped as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from data_samples import built_digits, make_job
from distillation_samples import logit_distillation
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.training.checkpoint import save_model
from stillhouse.models.workloads.image_classification.training import Classifier, architecture_of
from stillhouse.tasks.artifacts import source_digest
from stillhouse.tasks.artifacts.artifact import file_digest, seal
from stillhouse.tasks.compression.step_context import StepContext
from stillhouse.tasks.compression.teachers import make_asker
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.distillation import Features, LogitDistillation
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.recipe.teacher import BlackBox, Network, Training
from stillhouse.tasks.stages.export import export
from stillhouse.tasks.stages.teacher import train_teacher
from stillhouse.tasks.teachers.black_box import identity

TRAINING = {"epochs": 1, "batch_size": 100, "learning_rate": 0.1}
STUDENT = {"name": "multimodal_small_model", "arguments": {"channels": 4}}


def made(root: Path, seed: int) -> BlackBox:
    """Write `Softmax(Flatten(images) @ weight)`; returns the recipe's section for it."""
    weight = numpy_helper.from_array(np.random.default_rng(seed).normal(size=(64, 10)).astype(np.float32), "weight")
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["product"]),
        helper.make_node("Softmax", ["product"], ["out"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("in", "out")]
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, root / f"{seed}.onnx")
    digest = file_digest(root / f"{seed}.onnx")
    return BlackBox(onnx=f"{seed}.onnx", sha256=digest, scale=16.0, output="probabilities")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root whose data is the digits."""
    monkeypatch.setenv("STILLHOUSE_ROOT", str(tmp_path))
    for stage in ("teacher", "export"):
        monkeypatch.setattr(f"stillhouse.tasks.stages.{stage}.materialise", lambda _artifact: built_digits())
    return tmp_path


def job_for(folder: Path, inputs: dict[str, Path], **settings: Any) -> Job:
    job = make_job(folder, Data(dataset="digits"), inputs)
    return replace(job, settings={"workload": "image_classification", "seed": 3} | settings)


def taught(root: Path, box: BlackBox, name: str = "teacher") -> dict[str, float]:
    """Run the teacher stage into root/name/out."""
    job = job_for(root / name, {"data": root}, teacher=box)
    metrics = train_teacher(job)
    seal(job.out, metrics)
    return metrics


def distillation(**changes: Any) -> LogitDistillation:
    return logit_distillation(Training.model_validate(TRAINING), **changes)


def student() -> nn.Module:
    return architecture_of(built_digits(), Network.model_validate(STUDENT)).build_seeded(1)


def numbers(module: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in module.state_dict().values()])


def context(root: Path, name: str = "step") -> StepContext:
    inputs = {"teacher": root / "teacher" / "out" / "model"}
    return StepContext(job_for(root / name, inputs), built_digits(), Classifier(built_digits()))


def test_a_file_becomes_the_teacher(root: Path) -> None:
    """The teacher stage leaves the adopted file and says how good and how big it is."""
    metrics = taught(root, made(root, 1))
    file = root / "teacher" / "out" / "model" / "teacher.onnx"
    score = Classifier(built_digits()).scorer("validation")
    assert metrics == {"validation_quality": score(FileModel(file)), "checkpoint_bytes": file.stat().st_size}


def test_another_file_is_refused(root: Path) -> None:
    """A file that is missing, or has another digest than the recipe's, is refused with both digests."""
    box = made(root, 1)
    with pytest.raises(StillhouseError, match=r"no teacher at .*none\.onnx; put its ONNX file there or mend onnx"):
        taught(root, box.model_copy(update={"onnx": "none.onnx"}), "a")
    made(root, 2)
    with pytest.raises(StillhouseError, match=rf"2\.onnx has SHA-256 .*, not the recipe's {box.sha256}; restore"):
        taught(root, box.model_copy(update={"onnx": "2.onnx"}), "b")


def test_a_file_teaches(root: Path) -> None:
    """A student learns from the file's cached answers, twice the same."""
    taught(root, made(root, 1))
    one, other = (numbers(context(root, name).learn(student(), distillation())) for name in ("one", "other"))
    assert torch.equal(one, other)
    assert not torch.equal(one, numbers(student()))


def test_further_teachers_are_averaged_and_kept_apart(root: Path) -> None:
    """Two files answer with the mean of their probabilities, and each one's answers have a folder of their own."""
    taught(root, made(root, 1))
    box, images = made(root, 2), torch.randint(0, 17, (6, 1, 8, 8), dtype=torch.uint8)
    job = context(root).job
    alone, both = (
        make_asker(job, built_digits(), distillation(extra_teachers=extra))(images)[0] for extra in ((), (box,))
    )
    second = FileModel(job.scratch / f"{identity(box)}.onnx")(images)
    assert torch.allclose(both.exp(), (alone.exp() + second.exp()) / 2, atol=1e-6)
    folders = list((job.shared / "teacher_answers").iterdir())
    assert len(folders) == 2
    assert identity(box) in {folder.name for folder in folders}
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1]


@pytest.mark.parametrize(
    "changed",
    [
        "stillhouse.models.onnx.import_teacher",
        "stillhouse.models.onnx.export",
        "stillhouse.models.training.checkpoint",
        "stillhouse.models.training.ready",
    ],
)
def test_a_teacher_is_asked_again_by_other_code(root: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    """An answer that other code asked for is not taken, whichever module on the way to it was changed."""
    taught(root, made(root, 1))
    images, job = torch.zeros(6, 1, 8, 8, dtype=torch.uint8), context(root).job
    path = source_digest.ROOT.joinpath(*changed.split(".")[1:]).with_suffix(".py")
    for _ in range(2):
        make_asker(job, built_digits(), distillation())(images)
    assert len(list((job.shared / "teacher_answers").rglob("*.safetensors"))) == 1
    digest = source_digest.file_digest
    monkeypatch.setattr(source_digest, "file_digest", lambda file: "other" if file == path else digest(file))
    make_asker(job, built_digits(), distillation())(images)
    assert len(list((job.shared / "teacher_answers").rglob("*.safetensors"))) == 2


def test_a_file_has_no_layers_to_ask(root: Path) -> None:
    """Features of a teacher known only as a file are refused with the remedy."""
    taught(root, made(root, 1))
    hints = {"teacher": "conv1", "student": "1.conv"}
    with pytest.raises(StillhouseError, match=r"no layer 'conv1' to ask; remove features from the recipe"):
        context(root).taught(distillation(features=Features(**hints)))


def test_a_trained_teacher_gives_hints(root: Path) -> None:
    """With features and relations a trained teacher's layer is asked once per view, beside its logits."""
    network = Network(name="multimodal_big_model", arguments={"channels": 4, "hidden": 8})
    architecture = architecture_of(built_digits(), network)
    save_model(root / "teacher" / "out" / "model", architecture.build_seeded(2), architecture)
    seal(root / "teacher" / "out", {})
    here = context(root)
    hints = Features(teacher="1.conv", student="1.conv")
    how = distillation(augmented_views=2, features=hints, rkd_weight=0.5, loss="dist")
    module = here.learn(student(), how)
    assert not torch.equal(numbers(module), numbers(student()))
    assert len(list((here.job.shared / "teacher_answers").rglob("*.safetensors"))) == 4


def test_a_file_ships_as_it_is(root: Path) -> None:
    """Export copies an adopted teacher to the byte, and asks it for the gate split's classes."""
    taught(root, made(root, 1))
    architecture = architecture_of(built_digits(), Network.model_validate(STUDENT))
    save_model(root / "student" / "model", architecture.build_seeded(1), architecture)
    inputs = {"data": root, "teacher": root / "teacher" / "out", "student": root / "student"}
    job = job_for(root / "export", inputs, weights_licence="Apache-2.0")
    metrics = export(job)
    assert open_bundle(job.out / "student").about["licence"] == {"data": "BSD-3-Clause", "weights": "Apache-2.0"}
    adopted = root / "teacher" / "out" / "model" / "teacher.onnx"
    assert (job.out / "teacher" / "model.onnx").read_bytes() == adopted.read_bytes()
    assert metrics["teacher_bytes"] == adopted.stat().st_size
    expected_N = Classifier(built_digits()).reference(FileModel(adopted))
    assert np.array_equal(np.load(job.out / "references" / "teacher" / "model.npy"), expected_N)
