"""A user's text classifier from `inspect` to a bundle: its labels, its climb, and what a wrong one is told."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from encoder_folders import ship_classifier, train_classifier, write_classifier
from starlette.testclient import TestClient
from text_samples import sentences, write_texts

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.inspect import inspect_model
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.cli.inspection_text import describe
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.ladder.compress import Order, compress
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.provenance.log_student import log_student
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.served import Served

TEXTS, LABELS = sentences(600), ("tame", "wild")
CLASSES = [number // 10 % 2 for number in range(600)]
"""The class follows from the verb."""
READ = "compress reads a model that chooses one of its labels"
GOALS = Goals(0.9, 2.0, 0.1, 5.0)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("STATE", "RUNS"):
        monkeypatch.setenv(f"STILLHOUSE_{name}", str(tmp_path / name.lower()))
    return tmp_path


def table(house: Path, names: Sequence[str] = LABELS, texts: Sequence[str] = TEXTS) -> Path:
    path = house / "labels.csv"
    rows = [(text, names[label]) for text, label in zip(texts, CLASSES, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    return path


def order_of(house: Path, model: Path, data: Path, goals: Goals = GOALS) -> Order:
    wanted = Wanted("verbs", str(data), (3, 32, 32), "CC0")
    return Order("verbs", model, None, wanted, goals, house / "compressed")


@pytest.mark.long
@pytest.mark.serial
def test_a_classifier_is_compressed_by_one_command(house: Path) -> None:
    """Its accuracy is kept, and the bundle names the class of a text."""
    model, said = train_classifier(house / "model", TEXTS, CLASSES, LABELS), list[str]()
    verdict = compress(order_of(house, model, table(house)), said.append)
    made = house / "compressed" / "verbs"
    assert verdict.startswith("PASS: int8, calibrated: keeps ")
    assert " of the teacher's accuracy, " in verdict
    bundle = open_bundle(made / "bundle")
    assert (bundle.workload, bundle.about["labels"]) == ("text_classification", list(LABELS))
    answers = runtime_of(bundle.workload).serve(bundle, ())["text"](TEXTS[:20])
    assert [answer["label"] for answer in answers] == ["tame"] * 10 + ["wild"] * 10
    assert "Some texts of the gate split, with the class" in (made / "rungs" / "int8.html").read_text()


@pytest.mark.long
@pytest.mark.serial
def test_every_rung_of_a_classifier_is_climbed(house: Path) -> None:
    """Training, packing and dropped blocks work on its head too."""
    model = train_classifier(house / "model", TEXTS, CLASSES, LABELS, blocks=2)
    verdict = compress(order_of(house, model, table(house), Goals(0.2, 90.0, 0.1, 3.5)), lambda _: None)
    assert "what binds is --smaller 90" in verdict
    points = json.loads((house / "compressed" / "verbs" / "ladder.json").read_text())["points"]
    assert [each["rung"] for each in points] == ["int8", "int8_trained", "few_bits", "minus_1_blocks"]
    assert all(each["quality"] > 0.9 for each in points)


def test_labels_that_differ_are_told_before_anything_runs(house: Path) -> None:
    """The sentence has both label spaces and the remedy."""
    order = order_of(house, write_classifier(house / "model", TEXTS, LABELS), table(house, ("tame", "fierce")))
    with pytest.raises(ModelError, match="has the labels tame, wild and the data has fierce, tame; mend id2label"):
        compress(order, lambda _: None)


def test_a_tokenizer_that_is_missing_is_told_before_anything_runs(house: Path) -> None:
    """Not once for each rung."""
    order = order_of(house, write_classifier(house / "model", TEXTS, LABELS), table(house))
    (order.model / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json; save its tokenizer with"):
        compress(order, lambda _: None)


def test_one_class_is_no_task(house: Path) -> None:
    """A classifier of one class would always be right."""
    order = order_of(house, write_classifier(house / "model", TEXTS, LABELS), table(house, ("tame", "tame")))
    with pytest.raises(DataError, match=r"has 1 class, and a classifier needs 2 .*; give a folder for each class, or"):
        compress(order, lambda _: None)


def test_empty_texts_alone_are_no_data(house: Path) -> None:
    """The reason of the first row is told."""
    order = order_of(house, write_classifier(house / "model", TEXTS, LABELS), table(house, texts=[" "] * 600))
    with pytest.raises(DataError, match="has no texts that can be used: the first row: the text is empty; give at le"):
        compress(order, lambda _: None)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "2 labels: tame, wild; the data must have the same"),
        ({"id2label": None}, "2 labels without names; compress takes them for those of the data, in their order"),
        (
            {"problem_type": "multi_label_classification"},
            f"not read by compress: it is a classifier that may give a text several labels; {READ}",
        ),
        (
            {"id2label": {"0": "LABEL_0"}},
            f"not read by compress: it is a regression, which answers with a number; {READ}",
        ),
    ],
)
def test_inspect_tells_the_labels(tmp_path: Path, config: dict[str, object], said: str) -> None:
    """A person sees them before the data is made."""
    folder = write_classifier(tmp_path / "model", TEXTS, LABELS)
    content = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(content))
    lines = list(describe(inspect_model(folder)))
    assert lines[0] == "model: text-classification, BertForSequenceClassification, transformers"
    assert lines[2] == said


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    data = write_texts(tmp_path / "data" / "verbs", TEXTS, CLASSES, LABELS)
    (tmp_path / "bundle").mkdir()
    return ship_classifier(write_classifier(tmp_path / "model", TEXTS, LABELS), data, tmp_path / "bundle")


def test_the_registered_model_and_the_server_answer_as_the_bundle(
    shipped: Path, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer is a label and a probability, from a table in MLflow and from a body over HTTP."""
    bundle = open_bundle(shipped)
    answers = runtime_of(bundle.workload).serve(bundle, ())
    expected = answers["text"](TEXTS[:3])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{house}/mlflow.db")
    with mlflow.start_run() as run:
        pass
    child = SimpleNamespace(run_id=run.info.run_id, progress=lambda _: None)
    model = mlflow.pyfunc.load_model(log_student(child, bundle))  # type: ignore[arg-type]
    assert model.predict(pd.DataFrame({"text": TEXTS[:3]})).to_dict("records") == expected
    served = Served("verbs-production", "1", "0" * 64, 20, answers)
    client = TestClient(build(SimpleNamespace(current=served, problem=None)))  # type: ignore[arg-type]
    path = next(route.path for route in client.app.routes if "POST" in (route.methods or ()))
    assert client.post(path, json={"texts": TEXTS[:3]}).json()["answers"] == expected
    one = client.post(path, content=TEXTS[0].encode(), headers={"content-type": "text/plain"})
    assert one.json()["answers"] == expected[:1]
    assert client.post(path, json={"texts": [" "]}).status_code == 400
