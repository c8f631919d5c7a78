"""The ladder of a user's classifier: the form of an ONNX file is found, the file is rounded, labels are compared."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from data_samples import built_digits, make_job
from onnx import TensorProto, helper, numpy_helper
from transformers_samples import DIGITS, save_classifier

from stillhouse.models.data.images import load_images
from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.source import find_source
from stillhouse.tasks.artifacts.artifact import file_digest, seal
from stillhouse.tasks.compression.quantize_file import quantize_file
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.ladder.families.black_box import _right, find_form
from stillhouse.tasks.ladder.families.family import family_of
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.recipe.steps import KeepStepIf, Quantize
from stillhouse.tasks.recipe.teacher import BlackBox
from stillhouse.tasks.stages.teacher import train_teacher

HIDDEN = 256


def write_classifier(path: Path, *, layout: str, scale: float, answers: str) -> Path:
    """Write a perceptron with the ridge regression of the digits, in the form of some framework."""
    images = load_images(built_digits(), "train")
    random = np.random.default_rng(5)
    first = random.normal(size=(64, HIDDEN)).astype(np.float32)
    flat_NC = (images.images_NCHW.reshape(-1, 64) / scale).astype(np.float32)
    hidden_NH = np.maximum(flat_NC @ first, 0)
    wanted_NK = 8.0 * np.eye(10)[images.labels_N]
    inner_HH = hidden_NH.T @ hidden_NH
    ridge_HH = np.trace(inner_HH) / HIDDEN * np.eye(HIDDEN)  # small weights live with rounding
    second = np.linalg.solve(inner_HH + 0.03 * ridge_HH, hidden_NH.T @ wanted_NK).astype(np.float32)
    weights = [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")]
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["product"]),
        helper.make_node("Relu", ["product"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["logits"]),
        helper.make_node(
            *(("Softmax", ["logits"], ["out"]) if answers == "probabilities" else ("Identity", ["logits"], ["out"]))
        ),
    ]
    shape = ["batch", 1, 8, 8] if layout == "NCHW" else ["batch", 8, 8, 1]
    ends = [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)]
    ends.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 10]))
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def job_for(folder: Path, inputs: dict[str, Path], **settings: object) -> Job:
    job = make_job(folder, Data(dataset="digits"), inputs)
    return replace(job, settings={"workload": "image_classification", "seed": 3} | settings)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("scale", [1.0, 255.0])
@pytest.mark.parametrize("answers", ["logits", "probabilities"])
def test_the_form_of_a_file_is_found_on_the_data(tmp_path: Path, layout: str, scale: float, answers: str) -> None:
    """Layout and kind of answer follow from the file, the scale from the accuracy; a perceptron of ReLUs has any."""
    form = find_form(
        write_classifier(tmp_path / "mine.onnx", layout=layout, scale=scale, answers=answers), built_digits()
    )
    assert (form.layout, form.output) == (layout, answers)
    assert form.accuracy > 0.9
    assert "its accuracy on the calibration split is" in form.assumed[0]
    BlackBox(onnx="mine.onnx", sha256="0" * 64, **form.section)


def test_a_file_of_other_pictures_is_refused(tmp_path: Path) -> None:
    """The sentence is that of the import."""
    path = write_classifier(tmp_path / "mine.onnx", layout="NCHW", scale=1.0, answers="logits")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    onnx.save(model, path)
    with pytest.raises(StillhouseError, match=r"takes images .* and the data gives"):
        find_form(path, built_digits())


def job_of_step(
    root: Path, monkeypatch: pytest.MonkeyPatch, answers: str, keep_if: KeepStepIf
) -> tuple[dict[str, float], Job]:
    """Adopt a file as the teacher. Returns the teacher's metrics, and the job of the step that quantizes it."""
    monkeypatch.setenv("STILLHOUSE_ROOT", str(root))
    for module in ("stages.teacher", "compression.quantize_file"):
        monkeypatch.setattr(f"stillhouse.tasks.{module}.materialise", lambda _artifact: built_digits())
    path = write_classifier(root / "mine.onnx", layout="NCHW", scale=16.0, answers=answers)
    form = {"scale": 16.0, "output": answers}
    box = BlackBox.model_validate({"onnx": "mine.onnx", "sha256": file_digest(path)} | form)
    job = job_for(root / "teacher", {"data": root}, teacher=box)
    before = train_teacher(job)
    seal(job.out, before)
    inputs = {"data": root, "teacher": job.out, "previous": job.out}
    return before, job_for(root / "step", inputs, step=Quantize(method="quantize"), keep_step_if=keep_if)


@pytest.mark.parametrize("answers", ["logits", "probabilities"])
def test_a_file_is_rounded_after_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str) -> None:
    """The file is much smaller and nearly as good, also if its nodes have no names and one of them stays float."""
    before, step = job_of_step(tmp_path, monkeypatch, answers, KeepStepIf())
    after = quantize_file(step)
    assert after["checkpoint_bytes"] < 0.4 * before["checkpoint_bytes"]
    assert after["validation_quality"] > before["validation_quality"] - 0.03
    kinds = {node.op_type for node in onnx.load(step.out / "model" / "teacher.onnx").graph.node}
    assert kinds & {"QLinearMatMul", "QGemm"}


def test_a_dropped_step_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later stages judge what the step says that it kept."""
    before, step = job_of_step(tmp_path, monkeypatch, "logits", KeepStepIf(min_saving=1.0 - 1e-9))
    after = quantize_file(step)
    files = [folder / "model" / "teacher.onnx" for folder in (step.inputs["previous"], step.out)]
    assert file_digest(files[0]) == file_digest(files[1])
    assert after == before | {"kept": 0.0, "decided_by_time": 0.0}
    assert json.loads((step.out / "step.json").read_text())["reason"].startswith("dropped")


def test_labels_of_a_folder_are_compared_before_the_first_rung(tmp_path: Path) -> None:
    """Another order is told as an assumption; another set of labels ends in one sentence."""
    turned = find_source(save_classifier(tmp_path / "turned", "resnet", DIGITS[::-1]))
    assumed = family_of(turned, "image-classification", built_digits()).assumed
    assert assumed == ("the logits are put into the order of the data's labels",)
    fewer = find_source(save_classifier(tmp_path / "fewer", "resnet", DIGITS[:9]))
    with pytest.raises(ModelError, match=r"has the labels 0, .* 8 and the data has 0, .* 9; mend id2label"):
        family_of(fewer, "image-classification", built_digits())


@pytest.mark.parametrize(
    ("classes", "labels", "right", "reordered"),
    [
        ([0, 1, 2, 2], [0, 1, 2, 1], 3, 3),
        ([1, 2, 0, 0], [0, 1, 2, 2], 0, 4),
        ([1, 1, 1, 0], [0, 0, 1, 0], 2, 2),
        ([1, 1, 1, 1], [0, 0, 0, 1], 1, 3),
    ],
)
def test_another_order_of_the_classes_is_seen(
    classes: list[int], labels: list[int], right: int, reordered: int
) -> None:
    """Each class means the label that it mostly meets, unless two classes mean one."""
    found = _right(np.array(classes), np.array(labels))
    assert tuple(int(each.sum()) for each in found) == (right, reordered)


def test_a_file_with_another_order_of_classes_is_refused(tmp_path: Path) -> None:
    """The sentence says both accuracies and how the labels must sort."""
    path = write_classifier(tmp_path / "m.onnx", layout="NCHW", scale=1.0, answers="logits")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.shape[-1] == len(DIGITS):
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weight[..., ::-1]), tensor.name))
    onnx.save(model, path)
    with pytest.raises(
        StillhouseError, match=r"m.onnx is right for .* and for 9.* another order .*; write their names"
    ):
        find_form(path, built_digits())
