"""The tiny retrieval recipe on real drawings: each encoder is compressed, all are judged as they ship."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from whole_run import Run, whole_run

from stillhouse.models.data.images import load_images
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.retrieval.encoders import open_encoders
from stillhouse.tasks.artifacts.artifact import verify
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.keep_step import STEP
from stillhouse.tasks.serving.predict import predict
from stillhouse.tasks.stages.pull import materialise

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run every stage of the tiny recipe."""
    with whole_run("retrieval_small", tmp_path_factory.mktemp("retrieval")) as done:
        yield done


def test_the_tiny_recipe_passes_its_gate(run: Run) -> None:
    """Encoders are smaller, faster and nearly as good as the teacher's, also over the teacher's index."""
    gate = run.read("gate", "gate.json")
    assert gate["verdict"] == "PASS", gate["checks"]
    assert {check["name"] for check in gate["checks"]} == {
        "quality",
        "backward_compatibility",
        "bytes",
        "latency",
        "parity",
    }


def test_the_teacher_finds_more_than_chance(run: Run) -> None:
    """Of 64 concepts in a hand it never saw, the teacher finds many times more than one in 64."""
    evaluation = run.read("evaluate", "evaluation.json")
    recalls = evaluation["details"]["recalls"]["teacher"]["gate"]["mean"]
    assert recalls["recall@1"] > 10 / 64
    assert recalls["recall@1"] <= recalls["recall@5"] <= recalls["recall@10"]


def test_a_step_changes_its_tower_only(run: Run) -> None:
    """The other encoder goes on byte for byte."""
    before, after = run.output("teacher"), run.output("step_1_distil_image")
    assert (after / "text" / "model.safetensors").read_bytes() == (before / "text" / "model.safetensors").read_bytes()
    assert (after / "image" / "model.safetensors").read_bytes() != (before / "image" / "model.safetensors").read_bytes()
    assert run.read("step_1_distil_image", STEP)["kept"]


def test_bits_are_shared_out_over_both_towers(run: Run) -> None:
    """One step stores both encoders as integers, and says what it cost and saved of both together."""
    after, step = run.output("step_3_quantize"), run.read("step_3_quantize", STEP)
    for encoder in ("image", "text"):
        architecture = json.loads((after / encoder / "architecture.json").read_text(encoding="utf-8"))
        assert [edit["edit"] for edit in architecture["edits"]][-1] == "integer_weights"
        assert architecture["quantization"]["activations"] == {"image": "static", "text": "dynamic"}[encoder]
    files = [next((after / encoder).glob("model.onnx*")) for encoder in ("image", "text")]
    assert step["kept"]
    assert step["cost"]["bytes"]["after"] == sum(path.stat().st_size for path in files)


def test_the_deployable_answers_sentences_and_pictures(run: Run) -> None:
    """What ships embeds both into unit vectors of the teacher's space, one batch or many."""
    student = open_encoders(open_bundle(run.output("export") / "student"))
    vectors_ND = student.of_texts(["red heart", "cat", "a much longer sentence about nothing in particular"])
    assert np.allclose(np.linalg.norm(vectors_ND, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors_ND[1], student.of_texts(["cat"])[0], atol=1e-5)
    assert (
        student.space
        == verify(run.output("teacher")).digest
        == open_encoders(open_bundle(run.output("export") / "teacher")).space
    )


def test_bytes_are_those_of_every_file(run: Run) -> None:
    """The judged size is that of both packed encoders; the bundle describes them and nothing else lies there."""
    evaluation = run.read("evaluate", "evaluation.json")
    files = open_bundle(run.output("export") / "student").files
    assert {path.name for path in files} == {"image.onnx.xz", "text.onnx.xz"}
    assert evaluation["student"]["bytes"] == sum(path.stat().st_size for path in files)
    assert deployable(run.output("export") / "teacher", "text").name == "text.onnx"


def test_the_registered_model_answers_without_a_pickle(run: Run) -> None:
    """What MLflow gives back embeds sentences and picture files as what was judged does."""
    version = run.results["register"]["version"]
    model = mlflow.pyfunc.load_model(f"models:/retrieval_small/{version}")
    student = open_encoders(open_bundle(run.output("export") / "student"))
    sentences = ["cat", "dog"]
    answers = model.predict(pd.DataFrame({"text": sentences}))
    assert np.allclose(np.stack(answers["vector"]), student.of_texts(sentences), atol=1e-5)
    image_CHW = load_images(materialise(run.output("pull")), "gate").images_NCHW[0]
    files = pd.DataFrame({"image": [picture_file(image_CHW)]})
    assert np.allclose(np.stack(model.predict(files)["vector"]), student.of_images(image_CHW[None]), atol=1e-5)


def picture_file(image_CHW: np.ndarray) -> bytes:
    """Write raw pixels as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image_CHW.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()


def test_a_second_run_registers_no_second_version(run: Run) -> None:
    """The same encoders are found by their digest."""
    assert run.again("register")["version"] == run.results["register"]["version"]


def test_the_report_shows_what_was_found(run: Run) -> None:
    """The page has the table of recalls, every encoder, every kind of index and the pictures of the examples."""
    page = Path(str(run.results["report"]["report"])).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") > 12 * 5
    for text in (
        "sentence to picture",
        "Encoder by encoder",
        "int8",
        "the teacher's index",
        "languages paid",
    ):
        assert text in page


def test_try_answers_a_sentence_and_a_picture(run: Run, tmp_path: Path) -> None:
    """The page names what is nearest; markup in a question stays text."""
    image_CHW = load_images(materialise(run.output("pull")), "gate").images_NCHW[0]
    (tmp_path / "mine.png").write_bytes(picture_file(image_CHW))
    page = predict(run.recipe, ["<b>cat</b>", str(tmp_path / "mine.png"), "x" * 200]).read_text(encoding="utf-8")
    assert "&lt;b&gt;cat" in page
    assert page.count("<figure>") == 30
    assert "only its first 94 characters count" in page


@pytest.mark.parametrize(
    ("query", "reason"), [("  ", "is empty"), ("none.png", "cannot be opened"), ("broken.png", "cannot be read")]
)
def test_try_refuses_in_a_sentence(run: Run, tmp_path: Path, query: str, reason: str) -> None:
    """An empty sentence, a missing file and a file that is no picture are each named."""
    assert run.results["register"]["model"] == "retrieval_small"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(StillhouseError, match=reason):
        predict(run.recipe, [str(tmp_path / query) if query.strip() else query])
