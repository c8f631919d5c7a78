"""The tiny recipe of text to image, stage by stage: sentences become pictures wherever a model answers."""

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from standard_clients import Place, expect_same
from starlette.applications import Starlette
from whole_run import Run, whole_run

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.text_to_image.judging.guidance import GUIDANCES
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.runtime import RUNTIME, Generator
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import production_of
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.follow import Follower
from stillhouse.tasks.serving.load_generator import serving
from stillhouse.tasks.serving.predict import make_files, predict
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.tracking.connection import connect

RECIPES = Path(__file__).parent.parent / "dags" / "recipes"
RECIPE = RECIPES / "text_to_image_small.yaml"
SECONDS = 30.0

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run every stage of the tiny recipe."""
    with whole_run("text_to_image_small", tmp_path_factory.mktemp("pictures")) as done:
        yield done


def _student(run: Run) -> Generator:
    return Generator(open_bundle(run.output("export") / "student"))


def _picture(student: Generator, text: str, seed: int) -> np.ndarray:
    return np.asarray(student.make(student.read([text]), [seed])[0, 0])


def _levels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as read:
        return np.asarray(read)


def test_the_tiny_recipe_passes_its_gate(run: Run) -> None:
    """The student is smaller, faster and as good as the recipe asks."""
    gate = run.read("gate", "gate.json")
    assert gate["verdict"] == "PASS", [check["reason"] for check in gate["checks"]]
    assert {check["name"] for check in gate["checks"]} >= {"quality", "bytes", "latency", "frechet", "parity"}


def test_each_bundle_has_a_sampler_of_its_own(run: Run) -> None:
    """The teacher takes four steps with the guidance that validation chose, the student two without guidance."""
    samplers = {name: open_bundle(run.output("export") / name).about["sampler"] for name in ("teacher", "student")}
    assert samplers["teacher"].pop("guidance") in GUIDANCES
    assert samplers["teacher"] == {"steps": 4, "solver": "euler"}
    assert samplers["student"] == {"steps": 2, "guidance": 1.0, "solver": "euler"}


def test_the_judges_do_not_ship(run: Run) -> None:
    """The judges lie beside the references, and in no bundle."""
    export = run.output("export")
    assert sorted(path.name for path in (export / "references" / "judges").iterdir()) == [
        "frechet_judge.onnx", "prompt_judge.onnx",
    ]  # fmt: skip
    for name in ("teacher", "student"):
        assert set(open_bundle(export / name).components) == {"text_encoder", "denoiser"}


def test_the_export_changes_nothing_of_the_teacher(run: Run) -> None:
    """Vectors and velocities of the exported teacher have the direction of the trained one's."""
    assert run.read("evaluate", "evaluation.json")["teacher"]["parity"] == 0


def test_distances_are_told_beside_those_of_real_pictures(run: Run) -> None:
    """Two halves of real pictures are nearer to each other than any model's pictures are to one of them."""
    details = run.read("evaluate", "evaluation.json")["details"]
    assert details["count"] == 200
    distances = details["frechet"]
    assert 0 < distances["real pictures"] < min(distances["teacher"], distances["student"])


def test_quality_is_the_share_of_pictures_that_show_what_was_asked_for(run: Run) -> None:
    """The judge's classes of the student's pictures give the quality that the gate judged."""
    export, data = run.output("export"), materialise(run.output("pull"))
    split = RUNTIME.with_judges(RUNTIME.load_split(data, "gate"), export / "references" / "judges")  # type: ignore[attr-defined]
    made = RUNTIME.ask(open_bundle(export / "student"), split)
    told = run.read("evaluate", "evaluation.json")["student"]["quality"]["gate"]["value"]
    assert shown(split.judge.logits(made.images_NCHW), split.labels_N).mean() == pytest.approx(told)


def test_a_split_without_judges_is_not_judged(run: Run) -> None:
    """A split that was opened without the export's judges says what to do."""
    split = RUNTIME.load_split(materialise(run.output("pull")), "gate")
    with pytest.raises(ModelError, match="run the stage export again"):
        _ = split.judge


def test_the_server_makes_pictures_and_refuses_what_it_cannot_read(run: Run) -> None:
    """A sentence gives the picture of seed 0, an object the picture of its seed; a wrong one gives a sentence."""
    promote("text_to_image_small", Decision("ann", "it passed"))
    student = _student(run)
    with serving(champion, [os.sched_getaffinity(0)]) as address:

        def post(prompts: list[object]) -> requests.Response:
            return requests.post(address, json={"texts": prompts}, timeout=SECONDS)

        answers = post(["a bag", {"text": "a bag", "seed": 7}]).json()["answers"]
        for answer, seed in zip(answers, (0, 7), strict=True):
            png = base64.b64decode(answer["image"].removeprefix("data:image/png;base64,"))
            np.testing.assert_array_equal(_levels(png), _picture(student, "a bag", seed))
        uri, model = f"models:/text_to_image_small/{run.results['register']['version']}", production_of(RECIPE.stem)
        expect_same(Place(address, model, uri), "text", ["a bag"], answers[:1])
        for prompts in ([""], [{"text": "a bag", "seed": -1}], [{"seed": 1}], [[]], [None]):
            refused = post(prompts)
            assert refused.status_code == 400, refused.text
            assert refused.json()["error"]
        assert post(["x" * 10_000]).status_code == 200


def champion() -> Starlette:
    """What answers for production."""
    return build(Follower(connect(load_settings().tracking_uri), production_of("text_to_image_small")))


def test_the_report_shows_pictures_of_both_models(run: Run) -> None:
    """Seven grids show the teacher's own sampler, and both models at one, two and four steps."""
    page = Path(str(run.results["report"]["report"])).read_text(encoding="utf-8")
    assert page.count('<figure><img src="data:image/png;base64,') == 7
    for text in ("Pictures", "Frechet distance", "student, 1 step<", "teacher, its own sampler"):
        assert text in page


def test_predict_writes_a_png(run: Run) -> None:
    """`stillhouse predict ... --seed 7` writes the picture, and without a seed a page with it."""
    (path,) = make_files(RECIPE, ["a pullover"], 7)
    np.testing.assert_array_equal(_levels(path.read_bytes()), _picture(_student(run), "a pullover", 7))
    assert "a pullover" in predict(RECIPE, ["a pullover"]).read_text(encoding="utf-8")
    with pytest.raises(StillhouseError, match="the seed '-7' is no whole number"):
        make_files(RECIPE, ["a pullover"], -7)
    with pytest.raises(StillhouseError, match="takes no seed; leave out --seed"):
        make_files(RECIPES / "speech_small.yaml", ["my.wav"], 7)
