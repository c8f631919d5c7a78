"""The tiny recipe with recordings, stage by stage: three encoders, compressed one by one, judged together."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
import soundfile
from PIL import Image
from standard_clients import Place, expect_same
from starlette.applications import Starlette
from whole_run import Run, whole_run

from stillhouse.models.data.images import load_gallery
from stillhouse.models.data.sound.audio import SAMPLE_RATE, load_recordings
from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.retrieval.data import IMAGE, Inputs
from stillhouse.models.workloads.retrieval.encoders import open_encoders
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.teacher import Teacher
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import production_of
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.follow import Follower
from stillhouse.tasks.serving.load_generator import serving
from stillhouse.tasks.serving.predict import predict
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.stages.teacher import train_teacher
from stillhouse.tasks.tracking.connection import connect

RECIPES = Path(__file__).parent.parent / "dags" / "recipes"
SECONDS = 30.0
DIRECTIONS = {"speech_to_image", "text_to_image", "speech_to_text"}


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run every stage of the tiny recipe."""
    with whole_run("spoken_small", tmp_path_factory.mktemp("spoken")) as done:
        yield done


def test_the_tiny_recipe_with_recordings_passes_its_gate(run: Run) -> None:
    """Three encoders together are smaller, faster and nearly as good as the teacher's."""
    gate = run.read("gate", "gate.json")
    assert gate["verdict"] == "PASS", [check["reason"] for check in gate["checks"]]


def test_every_direction_is_told_beside_chance(run: Run) -> None:
    """Recordings ask for pictures and captions, captions for pictures; of 40 pictures, ten are a quarter."""
    found = run.read("evaluate", "evaluation.json")["details"]
    assert found["cut"] == 10
    assert set(found["chance"]["gate"]) == DIRECTIONS
    assert set(found["recalls"]["student"]["gate"]) == DIRECTIONS | {"mean"}
    assert found["chance"]["gate"]["text_to_image"] == pytest.approx(0.25, abs=0.02)


def test_a_speech_teacher_must_spell(run: Run, tmp_path: Path) -> None:
    """Another network is refused by name, and told which one to name."""
    recipe = load_recipe(RECIPES / "spoken_small.yaml")
    assert isinstance(recipe.teacher, Teacher)
    networks = recipe.teacher.networks
    teacher = recipe.teacher.model_copy(update={"components": {**networks, "speech": networks["text"]}})
    settings = {"teacher": teacher, "seed": 1, "workload": "retrieval"}
    job = Job(settings, {"data": run.output("pull")}, tmp_path, tmp_path, tmp_path, print, lambda *_: None)
    with pytest.raises(ModelError, match="a ngram_encoder cannot learn to spell; name speech_residual_encoder"):
        train_teacher(job)


def test_the_deployable_holds_three_towers(run: Run) -> None:
    """Bytes are those of all three."""
    files = open_bundle(run.output("export") / "student").files
    assert {path.name.partition(".")[0] for path in files} == {"image", "text", "speech"}
    measured = run.read("evaluate", "evaluation.json")
    assert measured["student"]["bytes"] == sum(path.stat().st_size for path in files)


def test_the_registered_model_answers_recordings(run: Run) -> None:
    """What MLflow gives back embeds the bytes of audio files as what was judged does."""
    model = mlflow.pyfunc.load_model(f"models:/spoken_small/{run.results['register']['version']}")
    files = load_recordings(materialise(run.output("pull")), "gate").audio[:2]
    expected = open_encoders(open_bundle(run.output("export") / "student")).of_recordings(files)
    answers = model.predict(pd.DataFrame({"speech": files}))
    assert np.allclose(np.stack(answers["vector"]), expected, atol=1e-5)


def test_the_server_answers_text_pictures_and_recordings(run: Run) -> None:
    """In production all three encoders answer over HTTP as what was judged does; what cannot be heard is refused."""
    promote("spoken_small", Decision("ann", "it passed"))
    data, encoders = materialise(run.output("pull")), open_encoders(open_bundle(run.output("export") / "student"))
    recording, picture_CHW = load_recordings(data, "gate").audio[0], load_gallery(data).images_NCHW[0]
    stream = io.BytesIO()
    Image.fromarray(picture_CHW.transpose(1, 2, 0)).save(stream, "PNG")
    uri = f"models:/spoken_small/{run.results['register']['version']}"
    with serving(champion, [os.sched_getaffinity(0)]) as address:
        for body, media_type, expected_1D in (
            (b"a duck", "text/plain", encoders.of_texts(["a duck"])),
            (stream.getvalue(), "image/png", encoders.of(Inputs(IMAGE, picture_CHW[None]))),
            (recording, "audio/ogg", encoders.of_recordings([recording])),
        ):
            found = requests.post(address, body, headers={"content-type": media_type}, timeout=SECONDS).json()
            assert np.allclose(found["answers"][0]["vector"], expected_1D[0], atol=1e-5), media_type
            kind = {"text/plain": "text", "image/png": "image", "audio/ogg": "speech"}[media_type]
            given = body.decode() if kind == "text" else body
            expect_same(Place(address, production_of("spoken_small"), uri), kind, [given], found["answers"])
        about = requests.get(address.replace("answer", "version"), timeout=SECONDS).json()
        assert set(about["takes"]) == {"image", "text", "speech"}
        refused = requests.post(address, b"no recording", headers={"content-type": "audio/ogg"}, timeout=SECONDS)
        assert (refused.status_code, "cannot be read" in refused.json()["error"]) == (400, True)


def champion() -> Starlette:
    """What answers for production."""
    return build(Follower(connect(load_settings().tracking_uri), production_of("spoken_small")))


def test_load_is_put_on_the_server_of_towers(run: Run) -> None:
    """Sentences are asked at a steady rate and answered, none lost."""
    found = run.read("load_test", "load_test.json")
    assert found["lost"] == 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["max_rate"]["one_core"] > found["rate"]


def test_the_report_plays_what_was_asked(run: Run) -> None:
    """Each example is a recording, with its words and the pictures that were found."""
    page = Path(str(run.results["report"]["report"])).read_text(encoding="utf-8")
    assert page.count('src="data:audio/ogg;base64,') == 12
    for text in ("recording to picture", "recording to sentence", "new sentences, not new speakers"):
        assert text in page


def test_try_answers_a_recording(run: Run, tmp_path: Path) -> None:
    """The page plays the recording and shows ten pictures."""
    content = load_recordings(materialise(run.output("pull")), "gate").audio[0]
    (tmp_path / "mine.ogg").write_bytes(content)
    page = predict(run.recipe, [str(tmp_path / "mine.ogg")]).read_text(encoding="utf-8")
    assert page.count("<figure>") == 10
    assert "<audio controls" in page


@pytest.mark.parametrize(("peak", "reason"), [(0.0, "silent"), (None, "cannot be read")])
def test_try_refuses_what_says_nothing(run: Run, tmp_path: Path, peak: float | None, reason: str) -> None:
    """Silence and a file that is no recording are each named."""
    path = tmp_path / "mine.wav"
    if peak is None:
        path.write_bytes(b"no recording")
    else:
        soundfile.write(path, np.full(SAMPLE_RATE, peak), SAMPLE_RATE)
    with pytest.raises(StillhouseError, match=reason):
        predict(run.recipe, [str(path)])
