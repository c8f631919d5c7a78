"""`stillhouse compress` on a small text classifier: its labels, its climb, and what is told."""

import csv
from pathlib import Path

import pytest
from encoder_folders import train_classifier
from text_samples import sentences

from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.ladder.compress import Order, compress
from stillhouse.tasks.ladder.goals import Goals

TEXTS, LABELS = sentences(600), ("tame", "wild")
CLASSES = [number // 10 % 2 for number in range(600)]
"""The class follows from the verb."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("STATE", "RUNS"):
        monkeypatch.setenv(f"STILLHOUSE_{name}", str(tmp_path / name.lower()))
    return tmp_path


def table(house: Path, names: tuple[str, ...] = LABELS) -> Path:
    path = house / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *((t, names[c]) for t, c in zip(TEXTS, CLASSES, strict=True))])
    return path


def order_of(house: Path, model: Path, data: Path, goals: Goals) -> Order:
    return Order("verbs", model, None, Wanted("verbs", str(data), (3, 32, 32), "CC0"), goals, house / "compressed")


@pytest.mark.serial
def test_a_classifier_is_compressed_by_one_command(house: Path) -> None:
    """Its accuracy is kept, and the bundle names the class of a new text."""
    model = train_classifier(house / "model", TEXTS, CLASSES, LABELS)
    said = list[str]()
    verdict = compress(order_of(house, model, table(house), Goals(0.9, 2.0, 0.1, 5.0)), said.append)
    made = house / "compressed" / "verbs"
    assert verdict.startswith("PASS: int8, calibrated: keeps ")
    assert "of the teacher's accuracy, " in verdict
    bundle = open_bundle(made / "bundle")
    assert (bundle.workload, bundle.about["labels"]) == ("text_classification", list(LABELS))
    answers = runtime_of(bundle.workload).serve(bundle, ())["text"](TEXTS[:20])
    assert [answer["label"] for answer in answers] == ["tame"] * 10 + ["wild"] * 10
    assert "which the data, the teacher" not in (made / "rungs" / "int8.html").read_text()
