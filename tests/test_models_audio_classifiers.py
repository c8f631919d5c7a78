"""Audio classifiers of transformers: the same logits inside one graph, and folders that do not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sound_samples import CLASSES, CONFIGS, encode, make_classifier, make_extractor, save_classifier, tone
from transformers_samples import rewrite

from stillhouse.models.compression.depth import droppable
from stillhouse.models.data.sound.clips import clip_of
from stillhouse.models.errors import ModelError
from stillhouse.models.families.audio_classifier import adopt_audio, blocks_of
from stillhouse.models.inspection.inspect import inspect_model
from stillhouse.models.inspection.source import find_source
from stillhouse.models.inspection.task import task_of
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.bundle import open_bundle, write_bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import report_of

SAMPLES = 8_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    described = {"labels": list(CLASSES), "clips": {"samples": SAMPLES, "rate": 16_000}, "splits": {}}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def clips() -> np.ndarray:
    return np.stack([clip_of(encode(tone(number, CLASSES[number])), SAMPLES) for number in range(3)])


def librarys_logits(model: Any, extractor: Any, clips_NT: np.ndarray) -> np.ndarray:
    scaled = [clip_T.astype(np.float32) / 32_768 for clip_T in clips_NT]
    with torch.no_grad():
        found = model(extractor(scaled, sampling_rate=16_000, return_tensors="pt")["input_values"])
    return found.logits.numpy()


@pytest.mark.parametrize("kind", CONFIGS)
def test_samples_get_the_logits_of_the_library(tmp_path: Path, data: Path, kind: str) -> None:
    """From 16-bit samples to logits, with the feature extractor inside, the numbers are the library's own."""
    source = find_source(save_classifier(tmp_path / "model", kind))
    expected_NK = librarys_logits(make_classifier(kind), make_extractor(kind), clips())
    with torch.no_grad():
        ours_NK = adopt_audio(source, data).module(torch.from_numpy(clips()).float()).numpy()
    assert expected_NK.std() > 0.1
    assert np.abs(ours_NK - expected_NK).max() < 1e-4


@pytest.mark.long
@pytest.mark.parametrize("kind", CONFIGS)
def test_the_exported_graph_answers_samples_as_the_library_does(tmp_path: Path, data: Path, kind: str) -> None:
    """The file that ships takes 16-bit samples and gives the library's logits."""
    expected_NK = librarys_logits(make_classifier(kind), make_extractor(kind), clips())
    adopted = adopt_audio(find_source(save_classifier(tmp_path / "model", kind)), data)
    export_model(adopted.module, adopted.architecture, clips(), tmp_path / "model.onnx")
    assert np.abs(predict(open_session(tmp_path / "model.onnx"), clips()) - expected_NK).max() < 1e-4


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_blocks_that_the_ladder_counts_can_be_dropped(tmp_path: Path, data: Path, kind: str) -> None:
    """A family without blocks that can go has no rung with fewer blocks."""
    source = find_source(save_classifier(tmp_path / "model", kind))
    adopted = adopt_audio(source, data)
    assert len(droppable(adopted.module, adopted.architecture.example())) == blocks_of(source)


@pytest.mark.parametrize("kind", ["wav2vec2", "audio-spectrogram-transformer"])
def test_an_extractor_that_does_not_normalise_is_followed(tmp_path: Path, data: Path, kind: str) -> None:
    """Raw samples, or raw logarithms, go in as the extractor of the folder gives them."""
    source = find_source(save_classifier(tmp_path / "model", kind, extractor={"do_normalize": False}))
    expected_NK = librarys_logits(make_classifier(kind), make_extractor(kind, {"do_normalize": False}), clips())
    with torch.no_grad():
        ours_NK = adopt_audio(source, data).module(torch.from_numpy(clips()).float()).numpy()
    assert np.abs(ours_NK - expected_NK).max() < 1e-4


def test_logits_come_in_the_order_of_the_datas_labels(tmp_path: Path, data: Path) -> None:
    """A model that was trained with another order of the labels is turned to that of the data."""
    turned = CLASSES[::-1]
    source = find_source(save_classifier(tmp_path / "model", "wav2vec2", turned))
    expected_NK = librarys_logits(make_classifier("wav2vec2", turned), make_extractor("wav2vec2"), clips())
    with torch.no_grad():
        ours_NK = adopt_audio(source, data).module(torch.from_numpy(clips()).float()).numpy()
    assert np.abs(ours_NK - expected_NK[:, ::-1]).max() < 1e-4


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_task_is_told_by_the_folder(tmp_path: Path, kind: str) -> None:
    """The head of a speech model has the name of that of a text model, and the type of the model decides."""
    assert task_of(find_source(save_classifier(tmp_path / "model", kind))) == "audio-classification"


def change(name: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder / name, **changes)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (pickled, r"pytorch_model.bin may be a pickle, which can run any code .*; where you trust it, load it"),
        (change("config.json", auto_map={"AutoModel": "m.M"}), r"asks to run code of the model's author \(auto_map\)"),
        (change("preprocessor_config.json", sampling_rate=8_000), r"expects 8,000 Hz, and .* 16,000 Hz here; train"),
        (change("preprocessor_config.json", sampling_rate=44_100), r"expects 44,100 Hz, and .* 16,000 Hz here; train"),
        (
            change("config.json", problem_type="multi_label_classification"),
            r"is for multi_label_classification, and audio classification gives one class to a recording; train it",
        ),
        (
            change("config.json", id2label={"0": "buzz", "1": "hum", "2": "siren"}),
            r"has the labels buzz, hum, siren and the data has buzz, hum, whistle; mend id2label",
        ),
        (
            change("config.json", architectures=["Wav2Vec2ForCTC"]),
            r"is Wav2Vec2ForCTC; audio classification reads classifiers of wav2vec2, hubert, wavlm",
        ),
        (change("config.json", model_type="whisper"), r"audio classification reads classifiers of wav2vec2, hubert"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), r"has no preprocessor_config.json, so it does"),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text('{"feature_extractor_type": "New"}'),
            r"preprocessor_config.json cannot be read \(.*\); save the extractor again",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"short"),
            r"model cannot be read \(.*\); save the model again with save_pretrained",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_one_sentence(
    tmp_path: Path, data: Path, spoil: Callable[[Path], Any], sentence: str
) -> None:
    """What is wrong is named with its remedy. Nothing is unpickled and no code of the folder runs."""
    folder = save_classifier(tmp_path / "model", "wav2vec2")
    spoil(folder)
    with pytest.raises(ModelError, match=sentence) as error:
        adopt_audio(find_source(folder), data)
    assert "\n" not in str(error.value)


def test_a_model_of_one_class_is_refused(tmp_path: Path, data: Path) -> None:
    """It has nothing to choose between."""
    folder = save_classifier(tmp_path / "model", "wav2vec2", ["buzz"])
    with pytest.raises(ModelError, match="has 1 label, and a classifier needs two"):
        adopt_audio(find_source(folder), data)


def test_a_bundle_answers_files_and_samples(tmp_path: Path, data: Path) -> None:
    """A recording file and its samples get the same class and probability, and the page shows them."""
    adopted = adopt_audio(find_source(save_classifier(tmp_path / "model", "wav2vec2")), data)
    file = tmp_path / "made" / "model.onnx"
    file.parent.mkdir()
    export_model(adopted.module, adopted.architecture, clips(), file)
    write_bundle(file.parent, "audio_classification", {"model": [file]}, labels=list(CLASSES))
    bundle = open_bundle(file.parent)
    runtime_of("audio_classification").probe(bundle)
    served = runtime_of("audio_classification").serve(bundle, ())
    recording = encode(tone(0, "buzz"))
    answer = served["speech"]([recording])
    assert answer == served["samples"]([clip_of(recording, SAMPLES).tolist()])
    assert answer[0]["label"] in CLASSES
    with pytest.raises(ModelError, match="send lists of 8,000 whole numbers from -32768 to 32767"):
        served["samples"]([[0.5] * SAMPLES])
    (tmp_path / "asked.wav").write_bytes(recording)
    page = report_of("audio_classification").answer_queries(bundle, data, [str(tmp_path / "asked.wav")], tmp_path)
    assert f"{answer[0]['label']} ({100 * answer[0]['probability']:.1f} %)" in page


@pytest.mark.parametrize(("kind", "applies"), [("hubert", True), ("wavlm", False)])
def test_an_inspection_says_whether_blocks_can_go(tmp_path: Path, kind: str, applies: bool) -> None:  # noqa: FBT001
    """It says what the ladder then does."""
    found = inspect_model(save_classifier(tmp_path / "model", kind))
    assert found.task == "audio-classification"
    assert {each.method: each.applies for each in found.methods}["drop_layers"] is applies
    assert "encoder.layers" in {part.name for part in found.components}
