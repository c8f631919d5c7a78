"""The tiny recipe of speech recognition, stage by stage: recordings become text wherever a model answers."""

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
from standard_clients import Place, expect_same
from starlette.applications import Starlette
from whole_run import Run, whole_run

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.utterances import load_utterances
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.speech_recognition.lengths import pad_together
from stillhouse.models.workloads.speech_recognition.runtime import Recogniser
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import production_of
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.follow import Follower
from stillhouse.tasks.serving.load_generator import serving
from stillhouse.tasks.serving.predict import predict
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.tracking.connection import connect

RECIPES = Path(__file__).parent.parent / "dags" / "recipes"
SECONDS = 30.0

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run every stage of the tiny recipe."""
    with whole_run("speech_small", tmp_path_factory.mktemp("speech")) as done:
        yield done


def _student(run: Run) -> Recogniser:
    return Recogniser(open_bundle(run.output("export") / "student"))


def _wav(samples_T: np.ndarray) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples_T, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def test_the_tiny_recipe_passes_its_gate(run: Run) -> None:
    """The student is smaller, faster and as good as the recipe asks."""
    gate = run.read("gate", "gate.json")
    assert gate["verdict"] == "PASS", [check["reason"] for check in gate["checks"]]


def test_the_export_changes_nearly_no_letter_of_the_teacher(run: Run) -> None:
    """Before quantization, less than one letter in a hundred changes, though the tiny teacher is unsure of all."""
    assert run.read("evaluate", "evaluation.json")["teacher"]["parity"] < 0.01


def test_errors_are_told_by_kind_and_slice(run: Run) -> None:
    """Insertions, deletions and substitutions add up to the character error rate, on every slice."""
    rates = run.read("evaluate", "evaluation.json")["details"]["rates"]
    names = [row["name"] for row in rates]
    assert names[:4] == ["all", "all, read with a language model", "es", "fr"]
    assert names[-1] == "a voice that was never heard"
    for row in rates:
        for model in ("teacher", "student"):
            kinds = sum(row[model][kind] for kind in ("insertions", "deletions", "substitutions"))
            assert kinds == pytest.approx(row[model]["cer"])
    assert rates[0]["count"] == rates[2]["count"] + rates[3]["count"]


def test_quality_is_one_minus_the_error_rate(run: Run) -> None:
    """The gate judges the same number that the report tells."""
    evaluation = run.read("evaluate", "evaluation.json")
    told = evaluation["details"]["rates"][0]["student"]["cer"]
    assert evaluation["student"]["quality"]["gate"]["value"] == pytest.approx(1 - told)


def test_one_file_takes_recordings_of_any_length(run: Run) -> None:
    """The exported graph has its filter bank inside, and gives 25 rows of letters a second."""
    student = _student(run)
    for seconds in (0.2, 1.0, 7.3):
        samples_T = np.zeros(int(seconds * SAMPLE_RATE), np.int16)
        frames = pad_together([samples_T]).shape[1] // 640 + 1
        assert student.letters_of(samples_T).shape == (frames, len(student.letters) + 1)


def test_the_registered_model_reads_recordings(run: Run) -> None:
    """What MLflow gives back reads the bytes of an audio file as what was judged does."""
    model = mlflow.pyfunc.load_model(f"models:/speech_small/{run.results['register']['version']}")
    (heard,) = load_utterances(materialise(run.output("pull")), "gate").samples[:1]
    assert model.predict(pd.DataFrame({"speech": [_wav(heard)]}))["text"].tolist() == [_student(run).read(heard)]


def test_the_server_reads_audio_and_refuses_what_it_cannot_hear(run: Run) -> None:
    """A recording gives text, silence an empty text, a long one is cut; what is no audio gives a sentence."""
    promote("speech_small", Decision("ann", "it passed"))
    (heard,) = load_utterances(materialise(run.output("pull")), "gate").samples[:1]
    long_T = np.concatenate([np.concatenate([heard, np.zeros(SAMPLE_RATE, np.int16)]) for _ in range(12)])
    with serving(champion, [os.sched_getaffinity(0)]) as address:

        def post(body: bytes) -> requests.Response:
            return requests.post(address, body, headers={"content-type": "audio/wav"}, timeout=SECONDS)

        once = post(_wav(heard)).json()["answers"][0]["text"]
        assert once == _student(run).read(heard)
        uri, model = f"models:/speech_small/{run.results['register']['version']}", production_of("speech_small")
        expect_same(Place(address, model, uri), "speech", [_wav(heard)], [{"text": once}])
        assert len(post(_wav(long_T)).json()["answers"][0]["text"]) > 6 * len(once)
        assert post(_wav(np.zeros(SAMPLE_RATE, np.int16))).json()["answers"] == [{"text": ""}]
        for body in (b"", b"no recording", _wav(heard)[:2000]):
            refused = post(body)
            assert refused.status_code == 400, refused.text
            assert refused.json()["error"]


def champion() -> Starlette:
    """What answers for production."""
    return build(Follower(connect(load_settings().tracking_uri), production_of("speech_small")))


def test_the_report_plays_and_marks_the_recordings(run: Run) -> None:
    """Each example is a recording with its tones and both transcripts."""
    page = Path(str(run.results["report"]["report"])).read_text(encoding="utf-8")
    assert page.count('src="data:audio/ogg;base64,') == 6
    for text in ("Transcripts", "a voice that was never heard", "tones over time", '<th scope="row">student</th>'):
        assert text in page


def test_predict_reads_a_recording(run: Run, tmp_path: Path) -> None:
    """`stillhouse predict speech_small my.wav` writes a page with the text."""
    (heard,) = load_utterances(materialise(run.output("pull")), "gate").samples[:1]
    (tmp_path / "my.wav").write_bytes(_wav(heard))
    page = predict(RECIPES / "speech_small.yaml", [str(tmp_path / "my.wav")]).read_text(encoding="utf-8")
    assert "my.wav" in page
    assert _student(run).read(heard) in page
    with pytest.raises(StillhouseError, match=r"missing.wav cannot be read"):
        predict(RECIPES / "speech_small.yaml", [str(tmp_path / "missing.wav")])
