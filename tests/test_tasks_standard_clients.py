"""Every client of a standard protocol, and MLflow's own server, give the answers of the server's own protocol."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
import requests
import soundfile
from encoder_folders import ship_classifier, ship_encoder, write_classifier, write_encoder
from line_samples import line_picture, ship_recogniser
from onnx import TensorProto
from onnx_encoders import encoder, write_encoders
from PIL import Image
from registry_samples import linear_model
from standard_clients import Place, expect_same
from text_samples import sentences, write_texts

from stillhouse.models.runtime.bundle import Bundle, open_bundle, write_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.provenance.log_student import log_student
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.load_generator import Exported, serving
from stillhouse.tasks.serving.open_version import OPSETS, opset_of
from stillhouse.tasks.serving.served import Served

TEXTS, LABELS = sentences(600), ("tame", "wild")


def classifier_of_pictures(folder: Path) -> Bundle:
    """A linear classifier of grey pictures."""
    weights_DK = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    path = linear_model(folder / "model.onnx", weights_DK, (1, 2, 2))
    write_bundle(folder, "image_classification", {"model": [path]}, labels=["cat", "dog", "bird"])
    return open_bundle(folder)


def classifier_of_texts(folder: Path) -> Bundle:
    """A small BERT that tells two classes apart."""
    classes = [number % 2 for number in range(len(TEXTS))]
    data = write_texts(folder / "data" / "verbs", TEXTS, classes, LABELS)
    (folder / "bundle").mkdir()
    return open_bundle(ship_classifier(write_classifier(folder / "model", TEXTS, LABELS), data, folder / "bundle"))


def encoder_of_texts(folder: Path) -> Bundle:
    """A small BERT that gives vectors."""
    (folder / "bundle").mkdir()
    return open_bundle(ship_encoder(write_encoder(folder / "model", TEXTS), folder / "bundle"))


def recogniser_of_lines(folder: Path) -> Bundle:
    """A recogniser of lines of eight letters."""
    return open_bundle(ship_recogniser(folder, 128))


def classifier_of_recordings(folder: Path) -> Bundle:
    """A classifier of recordings of one second."""
    encoder(folder / "model.onnx", "samples_NT", TensorProto.INT16, ["n", 16_000])
    write_bundle(folder, "audio_classification", {"model": [folder / "model.onnx"]}, labels=list(LABELS))
    return open_bundle(folder)


def picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (2, 2), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def line(text: str) -> bytes:
    stream = io.BytesIO()
    line_picture(text, 4).save(stream, "PNG")
    return stream.getvalue()


def recording() -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.random.default_rng(3).normal(0, 0.1, 16_000), 16_000, format="WAV")
    return stream.getvalue()


CASES: dict[str, tuple[Callable[[Path], Bundle], str, list[Any]]] = {
    "pictures": (classifier_of_pictures, "image", [picture(), picture()]),
    "texts": (classifier_of_texts, "text", TEXTS[:3]),
    "vectors of texts": (encoder_of_texts, "text", TEXTS[:3]),
    "lines": (recogniser_of_lines, "image", [line("fade bed"), line("abc")]),
    "recordings": (classifier_of_recordings, "speech", [recording()]),
    "a sentence": (write_encoders, "text", ["a duck", "ein Wal"]),
    "a picture": (write_encoders, "image", [picture()]),
    "a recording": (write_encoders, "speech", [recording()]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_client_gets_the_same_answers(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The own protocol, Triton's client, a table of MLflow, and MLflow's own server agree to the last digit."""
    make, kind, inputs = CASES[case]
    (tmp_path / "student").mkdir()
    bundle = make(tmp_path / "student")
    assert opset_of(bundle) in OPSETS
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    with mlflow.start_run() as run:
        pass
    uri = log_student(SimpleNamespace(run_id=run.info.run_id, progress=lambda _: None), bundle)  # type: ignore[arg-type]
    answers = runtime_of(bundle.workload).serve(bundle, ())
    with serving(lambda: build(Exported(Served("tiny", "1", "0" * 64, 20, answers))), [{0}]) as address:
        expect_same(Place(address, "tiny", uri), kind, inputs, answers[kind](inputs))
        reply = requests.get(address.replace("answer", "metrics"), timeout=10)
    assert 'stillhouse_requests_total{protocol="v2",status="200"} 1.0' in reply.text


def test_a_recogniser_reads_what_is_drawn(tmp_path: Path) -> None:
    """The lines that every client sends are read without an error."""
    answers = runtime_of("text_recognition").serve(recogniser_of_lines(tmp_path), ())
    assert answers["image"]([line("fade bed"), line("abc")]) == [{"text": "fade bed"}, {"text": "abc"}]
