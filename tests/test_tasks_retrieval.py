"""The tiny retrieval recipe, stage by stage on real drawings: each tower is compressed, all are judged as they ship."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_samples import make_house, make_job

from models.packing import deployable
from models.towers import files_of, open_towers
from tasks.artifact import seal, verify
from tasks.pipeline import stages_of
from tasks.pull_data import materialise
from tasks.recipe import Recipe, load_recipe
from tasks.work import STAGES
from tasks.worth import STEP

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "dags" / "recipes" / "retrieval_small.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Every stage's sealed output by the stage's name, up to the gate."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        root = tmp_path_factory.mktemp("retrieval")
        make_house(root / "house", monkeypatch, "emoji_small")
        yield run_stages(load_recipe(RECIPE), root)


def run_stages(recipe: Recipe, root: Path) -> dict[str, Path]:
    """Do the stages that need no server, in order."""
    outputs: dict[str, Path] = {}
    for stage in stages_of(recipe):
        if stage.kind in {"validate", "register", "report"}:
            continue
        inputs = {role: outputs[name] for role, name in stage.inputs.items() if name in outputs}
        job = replace(make_job(root / stage.name, recipe.data, inputs), settings=stage.settings)
        seal(job.out, STAGES[stage.kind](job))
        outputs[stage.name] = job.out
    return outputs


def test_the_tiny_recipe_passes_its_gate(run: dict[str, Path]) -> None:
    """Towers are smaller, faster and nearly as good as the teacher's, also over the teacher's index."""
    gate = json.loads((run["gate"] / "gate.json").read_text(encoding="utf-8"))
    assert gate["verdict"] == "PASS", gate["checks"]
    assert {check["name"] for check in gate["checks"]} == {"quality", "old_index", "bytes", "latency", "parity"}


def test_the_teacher_finds_more_than_chance(run: dict[str, Path]) -> None:
    """Of 64 concepts in a hand it never saw, the teacher finds many times more than one in 64."""
    evaluation = json.loads((run["evaluate"] / "evaluation.json").read_text(encoding="utf-8"))
    recalls = evaluation["retrieval"]["recalls"]["teacher"]["gate"]["mean"]
    assert recalls["recall@1"] > 10 / 64
    assert recalls["recall@1"] <= recalls["recall@5"] <= recalls["recall@10"]


def test_a_step_changes_its_tower_only(run: dict[str, Path]) -> None:
    """The other tower goes on byte for byte."""
    before, after = run["teacher"], run["step_1_distil_image"]
    assert (after / "text" / "model.safetensors").read_bytes() == (before / "text" / "model.safetensors").read_bytes()
    assert (after / "image" / "model.safetensors").read_bytes() != (before / "image" / "model.safetensors").read_bytes()
    assert json.loads((after / STEP).read_text(encoding="utf-8"))["kept"]


def test_the_deployable_answers_sentences_and_pictures(run: dict[str, Path]) -> None:
    """What ships embeds both into unit vectors of the teacher's space, one batch or many."""
    student = open_towers(run["export"] / "student")
    vectors_ND = student.of_texts(["red heart", "cat", "a much longer sentence about nothing in particular"])
    assert np.allclose(np.linalg.norm(vectors_ND, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors_ND[1], student.of_texts(["cat"])[0], atol=1e-5)
    assert student.space == verify(run["teacher"]).digest == open_towers(run["export"] / "teacher").space


def test_bytes_are_those_of_every_file(run: dict[str, Path]) -> None:
    """The judged size is that of both packed towers and of the file that describes them."""
    evaluation = json.loads((run["evaluate"] / "evaluation.json").read_text(encoding="utf-8"))
    files = files_of(run["export"] / "student")
    assert {path.name for path in files} == {"towers.json", "image.onnx.lzma", "text.onnx.lzma"}
    assert evaluation["student"]["bytes"] == sum(path.stat().st_size for path in files)
    assert deployable(run["export"] / "teacher", "text").name == "text.onnx"


def test_the_dataset_is_the_small_one(run: dict[str, Path]) -> None:
    """The run reads the materialised emoji of 64 concepts."""
    assert materialise(run["pull"]).is_dir()
