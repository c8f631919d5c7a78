"""Registered text models, whose bundle has a tokenizer beside the network: what `predict` shows is what is served."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from data_samples import digest_of
from encoder_folders import ship_classifier, ship_encoder, write_classifier, write_encoder
from mlflow.tracking import MlflowClient
from registry_samples import registered_bundle
from standard_clients import SECONDS, Place, expect_same
from starlette.applications import Starlette
from text_samples import sentences, write_texts

from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.ladder.families.rungs import Learn, learn_classes, learn_vectors, rungs_for_text
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.recipes import Model, write_recipe
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import production_of
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.follow import Follower
from stillhouse.tasks.serving.load_generator import serving
from stillhouse.tasks.serving.predict import fetch_registered, predict
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.connection import connect

NAME, TEXTS, LABELS = "verbs", sentences(300), ("tame", "wild")
CLASSES = [number // 10 % 2 for number in range(300)]
ASKED = [TEXTS[0], "Nobody has seen this, or that.", "\u96ea"]


def ship_of_vectors(root: Path, _data: Path) -> Path:
    """Ship an encoder that gives vectors."""
    return ship_encoder(write_encoder(root / "model", TEXTS), root / "bundle")


def ship_of_classes(root: Path, data: Path) -> Path:
    """Ship a classifier."""
    return ship_classifier(write_classifier(root / "model", TEXTS, LABELS), data, root / "bundle")


class Case(NamedTuple):
    """A workload: how its model is made and learns, and how `predict` shows an answer."""

    ship: Callable[[Path, Path], Path]
    learn: Learn
    shown: Callable[[dict[str, Any]], str]


CASES = {
    "text_embedding": Case(
        ship_of_vectors, learn_vectors, lambda answer: f"<p>{', '.join(map(str, answer['vector'][:8]))}, ...</p>"
    ),
    "text_classification": Case(
        ship_of_classes,
        learn_classes(300),
        lambda answer: f"<p>{answer['label']} ({100 * answer['probability']:.1f} %)</p>",
    ),
}


def recipe_of(workload: str, learn: Learn, data: Path, folder: Path) -> Path:
    """Write a recipe of data that lies in this host's cache."""
    digest = digest_of(data)
    shutil.copytree(data, load_settings().data_cache / digest)
    model = Model(NAME, workload, {"folder": "/x", "sha256": "0" * 64}, {"dataset": NAME, "sha256": digest})
    return write_recipe(folder, model, rungs_for_text(3, learn)[0], 3, Goals(0.9, 2.0, 0.1, 5.0), ())


def champion() -> Starlette:
    """What answers for production."""
    return build(Follower(connect(load_settings().tracking_uri), production_of(NAME)))


@pytest.mark.parametrize("workload", CASES)
def test_a_registered_text_model_is_served_as_predict_answers(
    workload: str, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client gets the answers of the registered bundle, and the page of `stillhouse predict` shows them."""
    monkeypatch.setenv("STILLHOUSE_RUNS", str(tmp_path / "runs"))
    case, data = CASES[workload], write_texts(tmp_path / "made" / NAME, TEXTS, CLASSES, LABELS)
    (tmp_path / "bundle").mkdir()
    version = registered_bundle(client, NAME, open_bundle(case.ship(tmp_path, data)))
    promote(NAME, Decision("ann", "it passed"))
    page = predict(recipe_of(workload, case.learn, data, tmp_path / "recipes"), ASKED).read_text(encoding="utf-8")
    expected = runtime_of(workload).serve(open_bundle(fetch_registered(load_settings(), NAME)), ())["text"](ASKED)
    assert all(case.shown(answer) in page for answer in expected)
    with serving(champion, [os.sched_getaffinity(0)]) as address:
        assert requests.post(address, json={"texts": ASKED}, timeout=SECONDS).json()["answers"] == expected
        expect_same(Place(address, production_of(NAME), f"models:/{NAME}/{version}"), "text", ASKED, expected)
