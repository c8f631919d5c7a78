"""The ladder of an audio classifier: its rungs, and a climb from a trained model and recordings to a bundle."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from import_samples import import_from, settings_of
from onnx import TensorProto, helper, numpy_helper
from sound_samples import CLASSES, PITCHES, encode, make_classifier, make_extractor, recordings, save_classifier, tone
from torch.nn import functional

from stillhouse.models.data.sound.clips import load_clips
from stillhouse.models.inspection.source import find_source
from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.ladder.compress import Order, compress
from stillhouse.tasks.ladder.families.family import Family, family_of
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.recipes import Model, write_recipe
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.teacher import BlackBox
from stillhouse.tasks.teachers.black_box import adopt_file

TASK = "audio-classification"
GOALS = Goals(0.95, 2.0, 0.05, 5.0)
STEP = 2e-3


def family_for(tmp_path: Path, kind: str) -> Family:
    data = tmp_path / "data"
    data.mkdir()
    described = {"labels": list(CLASSES), "clips": {"samples": 8_000}, "splits": {"train": {"count": 400}}}
    (data / "dataset.json").write_text(json.dumps(described))
    return family_of(find_source(save_classifier(tmp_path / "model", kind)), TASK, data)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("wav2vec2", ["int8", "int8_calibrated", "int8_trained", "minus_1_blocks"]),
        ("audio-spectrogram-transformer", ["int8", "int8_trained", "minus_1_blocks"]),
        ("wavlm", ["int8", "int8_calibrated", "int8_trained"]),
    ],
)
def test_a_rung_that_does_not_apply_is_not_in_the_ladder(tmp_path: Path, kind: str, own: list[str]) -> None:
    """No block of a WavLM can go, and calibrated ranges are for models that begin with convolutions over samples."""
    names = [rung.name for rung in family_for(tmp_path, kind).rungs]
    assert names == [*own, "plain_student", "small_student"]


def test_every_rung_is_a_recipe(tmp_path: Path) -> None:
    """A person can edit each of them and run it again."""
    family = family_for(tmp_path, "hubert")
    model = Model("mine", family.workload, family.teacher, {"dataset": "mine", "sha256": "1" * 64})
    for rung in family.rungs:
        recipe = load_recipe(write_recipe(tmp_path / rung.name, model, rung, 3, GOALS, ()))
        assert recipe.workload == "audio_classification"


def test_a_folder_of_texts_is_refused_for_recordings(tmp_path: Path) -> None:
    """The sentence lists the models that are read."""
    folder = tmp_path / "model"
    save_classifier(folder, "wav2vec2")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Exception, match="audio classification reads classifiers of wav2vec2, hubert, wavlm"):
        family_of(find_source(folder), TASK, tmp_path)


def write_listener(path: Path) -> Path:
    """Write a file that takes waveforms of full scale 1 and gives the energies of the classes' tones as logits."""
    times_T1 = np.arange(8_000)[:, None] / 16_000
    hertz_F = np.concatenate([np.linspace(0.84, 1.16, 60) * PITCHES[name] for name in CLASSES])
    waves_TF = np.concatenate([np.cos(2 * np.pi * hertz_F * times_T1), np.sin(2 * np.pi * hertz_F * times_T1)], 1)
    groups_FK = np.tile(np.repeat(np.eye(3), 60, 0), (2, 1)) / 1e4
    weights = [numpy_helper.from_array(waves_TF.astype(np.float32), "waves")]
    weights += [numpy_helper.from_array(groups_FK.astype(np.float32), "groups")]
    nodes = [
        helper.make_node("MatMul", ["input_values", "waves"], ["heard"]),
        helper.make_node("Mul", ["heard", "heard"], ["energies"]),
        helper.make_node("MatMul", ["energies", "groups"], ["logits"]),
    ]
    ends = [helper.make_tensor_value_info("input_values", TensorProto.FLOAT, ["batch", "time"])]
    ends.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]))
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_file_that_takes_waveforms_is_asked_with_samples(tmp_path: Path) -> None:
    """Its form is found on the calibration split, and the adopted file takes 16-bit samples."""
    found = import_from(tmp_path, recordings(tmp_path / "recordings", 70))
    data = settings_of(tmp_path).data_cache / found.digest
    family = family_of(find_source(write_listener(tmp_path / "model.onnx")), TASK, data)
    assert family.assumed[0].startswith("the file takes samples divided by 32768 and gives logits: with this its accur")
    assert [rung.name for rung in family.rungs] == ["int8", "plain_student", "small_student"]
    adopt_file(BlackBox.model_validate(dict(family.teacher)), data, tmp_path / "teacher.onnx", family.workload)
    gate = load_clips(data, "gate")
    logits_NK = FileModel(tmp_path / "teacher.onnx")(torch.from_numpy(gate.samples_NT)).numpy()
    assert (logits_NK.argmax(1) == gate.labels_N).mean() > 0.95


def save_trained(folder: Path) -> Path:
    """Train a tiny classifier on tones that are not among the recordings."""
    model, extractor = make_classifier("wav2vec2", layerdrop=0.0, apply_spec_augment=False), make_extractor("wav2vec2")
    tones = [(tone(1_000 + number, name).astype(np.float32), label) for label, name in enumerate(CLASSES)
             for number in range(60)]  # fmt: skip
    prepared = extractor([each for each, _ in tones], sampling_rate=16_000, return_tensors="pt")["input_values"]
    labels_N = torch.tensor([label for _, label in tones])
    optimizer = torch.optim.AdamW(model.train().parameters(), STEP)
    for _ in range(3):
        for index_B in torch.randperm(len(labels_N)).split(20):
            loss = functional.cross_entropy(model(prepared[index_B]).logits, labels_N[index_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval().save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("STATE", "RUNS"):
        monkeypatch.setenv(f"STILLHOUSE_{name}", str(tmp_path / name.lower()))
    return tmp_path


@pytest.mark.long
@pytest.mark.serial
def test_a_climb_leaves_a_bundle_that_names_recordings(house: Path) -> None:
    """The bundle answers a recording that nobody imported with its class."""
    data = Wanted("sounds", recordings(house / "recordings", 70), (3, 32, 32), "CC0")
    model = save_trained(house / "model")
    said = list[str]()
    verdict = compress(Order("sounds", model, None, data, GOALS, house / "compressed"), said.append)
    made = house / "compressed" / "sounds"
    assert verdict.startswith("PASS: int8, scaled at every call: keeps ")
    assert "of the teacher's accuracy" in verdict
    assert any("cut or filled with silence to 0.5 s (19 of 20 are no longer" in line for line in said)
    bundle = open_bundle(made / "bundle")
    assert (bundle.workload, bundle.about["labels"]) == ("audio_classification", list(CLASSES))
    answers = runtime_of(bundle.workload).serve(bundle, ())["speech"]([encode(tone(5_000, name)) for name in CLASSES])
    assert [answer["label"] for answer in answers] == list(CLASSES)
    assert verdict.split(":")[1].strip() in (made / "report.html").read_text()


def test_recordings_for_a_model_of_pictures_are_refused_before_the_import(house: Path) -> None:
    """The task decides what is read."""
    data = Wanted("sounds", recordings(house / "recordings", 2), (3, 32, 32), "CC0")
    order = Order("sounds", save_classifier(house / "model", "wav2vec2"), "image-classification", data, GOALS, house)
    with pytest.raises(StillhouseError, match="has no pictures that can be used"):
        compress(order, lambda _: None)
