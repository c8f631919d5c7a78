"""The test split: opened once for each candidate that passed, by one stage, and counted."""

import ast
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from data_samples import built_digits, built_emoji_small, built_stamps_small, make_house_of, make_job, pulled
from mlflow.tracking import MlflowClient
from registry_samples import linear_model

from stillhouse.models.evaluation.champion import compare_champion
from stillhouse.models.evaluation.evaluate import SPLIT, evaluate
from stillhouse.models.evaluation.final_test import final_test as measured
from stillhouse.models.measurement.latency import Schedule
from stillhouse.models.runtime.bundle import Bundle, open_bundle, write_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.retrieval.data import EvalSplit, Inputs, load_eval_split
from stillhouse.models.workloads.retrieval.report import recall_lines
from stillhouse.models.workloads.retrieval.runtime import Retrieval as RetrievalRuntime
from stillhouse.models.workloads.retrieval.schema import Details, TestDetails
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.judging.final_test import Opened
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.final_test import final_test
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.held_out import count_looks, looks_at, note_look, split_digests

DATA = Data(dataset="digits")
ROOT = Path(__file__).resolve().parent.parent
NAMES_TEST = {
    "models/evaluation/final_test.py": "opens it",
    "tasks/stages/final_test.py": "asks for it, after the verdict",
    "tasks/tracking/held_out.py": "counts the looks at it",
    "tasks/compression/quantize.py": "compares digests, so that nothing of the test split calibrates",
    "tasks/data/store/build_data.py": "deals examples to it",
    "tasks/data/importing/deal.py": "deals a user's pictures to it",
    "tasks/data/sources/small.py": "reads the publisher's own split of that name",
    "tasks/data/sources/build_spoken.py": "deals recordings to it",
    "tasks/data/sources/speech/build_speech.py": "deals stamps to it",
    "tasks/data/format/dataset.py": "lists the splits",
    "models/data/description.py": "reads its old name",
    "tasks/data/checks/expectations.py": "checks its labels",
    "tasks/judging/final_test.py": "words for how often",
    "models/workloads/retrieval/report.py": "shows final_test.json",
    "models/workloads/text_to_image/report.py": "shows final_test.json",
    "tasks/data/sources/wordings/fashion.py": "words its prompts",
    "tasks/data/sources/wordings/icons.py": "words its prompts",
    "tasks/data/sources/icons/build_icons.py": "deals icons to it",
    "benchmarks/peers/measuring.py": "measures finished files of several tools",
}
FACTS = {"recipe": "tiny"}


@dataclass(frozen=True)
class Nights:
    """A state folder, an MLflow and pulled data, on which only the last stages of nights run."""

    root: Path
    client: MlflowClient
    pull: Path

    def final_test(self, name: str, seed: int, verdict: str = "PASS") -> dict[str, Any]:
        """Test the student of a seed as a night of its own; gives final_test.json."""
        models, gate = self.root / name / "export", self.root / name / "gate"
        exported(models, seed)
        gate.mkdir()
        write_json(gate / "gate.json", {"verdict": verdict, "checks": [], "of": name})
        job = make_job(self.root / name / "job", DATA, {"data": self.pull, "models": models, "gate": gate}, print)
        metrics = final_test(
            replace(job, settings={"name": name, "confidence": 0.95, "workload": "image_classification"})
        )
        found: dict[str, Any] = json.loads((job.out / "final_test.json").read_text("utf-8"))
        assert metrics == ({"opening": found["opened"]["opening"]} if found["opened"] else {})
        return found

    def opened(self) -> int:
        """Count how often the test split was opened."""
        return len(looks_at(self.client, "test", split_digests(built_digits())["test"]))


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """Give a house with pulled digits and an MLflow in which nothing was looked at."""
    dataset = make_house_of(built_digits(), tmp_path / "house", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return Nights(tmp_path, connect(load_settings().tracking_uri), pulled(dataset, tmp_path / "pull"))


def exported(folder: Path, seed: int) -> None:
    """Write a teacher and a student that answer digits by one layer of random weights."""
    for name, own in (("teacher", 0), ("student", seed)):
        weights_DK = np.random.default_rng(own).normal(size=(64, 10)).astype(np.float32)
        for made in (folder / name, folder / "references" / name):
            made.mkdir(parents=True)
        linear_model(folder / name / "model.onnx", weights_DK, (1, 8, 8))
        write_bundle(folder / name, "image_classification", {"model": [folder / name / "model.onnx"]})
        np.save(folder / "references" / name / "model.npy", np.zeros(300, np.int64))


def test_a_candidate_that_passed_is_tested_on_the_test_split(nights: Nights) -> None:
    """The first candidate is the first opening, another is the second; both have quality, ratio and difference."""
    first, second = (nights.final_test(f"night{seed}", seed)["opened"] for seed in (1, 2))
    assert (first["opening"], second["opening"], nights.opened()) == (1, 2, 2)
    assert first["student"] != second["student"]
    assert first["teacher"] == second["teacher"]
    low, high = first["paired"]["difference"]["interval"]
    assert low < first["student"]["value"] - first["teacher"]["value"] < high
    assert first["split_digests"] == split_digests(built_digits())


@pytest.mark.parametrize("nights_after", [1, 2, 5])
def test_a_file_that_was_tested_is_not_tested_again(nights: Nights, nights_after: int) -> None:
    """In later nights, of whatever recipe and gate, the same file takes its result from MLflow; nothing is opened."""
    first = nights.final_test("first", 1)
    assert [nights.final_test(f"later{n}", 1) for n in range(nights_after)] == [first] * nights_after
    assert nights.opened() == 1


@pytest.mark.parametrize("verdict", ["FAIL", "UNDECIDED"])
def test_a_night_that_does_not_pass_leaves_the_test_split_closed(nights: Nights, verdict: str) -> None:
    """Only a PASS opens it: any other verdict leaves a sentence; a later PASS of the same file opens it once."""
    said = f"the verdict is {verdict}, so the test split stays closed"
    assert nights.final_test("refused", 1, verdict) == {"opened": None, "skipped": said}
    assert nights.opened() == 0
    assert nights.final_test("passed", 1)["opened"]["opening"] == 1


def test_a_result_that_is_lost_is_made_again_and_counted(nights: Nights) -> None:
    """Without the file in MLflow the split is opened a second time, and the count says so."""
    first = nights.final_test("first", 1)["opened"]
    (run,) = looks_at(nights.client, "test", first["split_digests"]["test"])
    (Path(run.info.artifact_uri.removeprefix("file://")) / "final_test.json").unlink()
    assert nights.final_test("lost", 1)["opened"] == first | {"opening": 2}
    assert nights.opened() == 2


def test_a_test_that_broke_counts_and_is_done_again(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between opening and result leaves a look without a result, so the next try opens and counts again."""

    def killed(*_: object) -> None:
        msg = "killed"
        raise KeyboardInterrupt(msg)

    with monkeypatch.context() as patch:
        patch.setattr("stillhouse.tasks.stages.final_test.measure", killed)
        with pytest.raises(KeyboardInterrupt):
            nights.final_test("killed", 1)
    assert nights.opened() == 1
    assert nights.final_test("again", 1)["opened"]["opening"] == 2


def without_test_split(dataset: Path, folder: Path) -> Path:
    """Copy a dataset whose test split cannot be read."""
    copy = Path(shutil.copytree(dataset, folder / "data"))
    described = json.loads((copy / "dataset.json").read_text("utf-8"))
    for shard in described["splits"].pop("test")["shards"]:
        (copy / shard["path"]).unlink()
    (copy / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    return copy


def test_what_decides_can_do_without_the_test_split(tmp_path: Path) -> None:
    """Evaluation, comparison and load run on data that has no test split at all."""
    exported(tmp_path / "export", 1)
    data, export = without_test_split(built_digits(), tmp_path), tmp_path / "export"
    bundles = {name: open_bundle(export / name) for name in ("teacher", "student")}
    schedule = Schedule(repeats=2, most=2, rounds=2, pause_seconds=0.0, confidence=0.9, limit=1.0)
    workload = runtime_of("image_classification")
    found = evaluate(workload, data, bundles, export / "references", schedule)
    assert set(found["paired"]) == set(found["ratios"]["quality"]) == {"gate"}
    assert sum(found["classes"]["count"]) == 300
    of_three = {**bundles, "reference": bundles["teacher"]}
    compared = compare_champion(workload, data, of_three, export / "references", schedule)
    assert "test" not in json.dumps([found, compared])
    assert len(workload.sample_requests(data)[1]) == 64


def test_what_decides_over_towers_can_do_without_the_test_split(tmp_path: Path) -> None:
    """The split that is judged is all that the evaluation of encoders reads of a dataset with captions."""
    data = without_test_split(built_emoji_small(), tmp_path)
    assert SPLIT == "gate"
    assert [load_eval_split(data, split).count for split in (SPLIT, "validation")] == [64, 64]


def test_only_the_final_test_names_the_test_split() -> None:
    """Each file of ours that names it is listed above with its reason."""
    files = [path for part in ("models", "tasks", "dags", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    named = {path.relative_to(ROOT).as_posix() for path in files if "test" in words_of(path)}
    assert named == set(NAMES_TEST)


def words_of(path: Path) -> set[str]:
    """Collect the texts of a module that are one word."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_looks_of_nights_at_once_are_all_counted(client: MlflowClient) -> None:
    """Eight nights that look at once leave eight looks, and those at another split or other content do not count."""
    nights = [threading.Thread(target=note_look, args=(client, "gate", "at once", FACTS)) for _ in range(8)]
    for night in nights:
        night.start()
    for night in nights:
        night.join()
    note_look(client, "test", "at once", FACTS)
    note_look(client, "gate", "other content", FACTS)
    assert count_looks(client, {"gate": "at once", "test": "at once", "validation": "at once"}) == {
        "gate": 8, "test": 1, "validation": 0,
    }  # fmt: skip


def test_a_look_that_a_person_deletes_still_counts(client: MlflowClient) -> None:
    """Deleting a run in MLflow does not make the split fresh again."""
    client.delete_run(note_look(client, "test", "deleted", FACTS))
    note_look(client, "test", "deleted", FACTS)
    assert count_looks(client, {"test": "deleted"}) == {"test": 2}


def test_every_page_of_looks_is_counted() -> None:
    """MLflow gives long lists in pages; all of them count."""
    pages = {None: Page(["a"] * 1000, "more"), "more": Page(["b"] * 1000, "last"), "last": Page(["c"], None)}
    client = SimpleNamespace(
        get_experiment_by_name=lambda name: SimpleNamespace(experiment_id="1", lifecycle_stage="active", name=name),
        search_runs=lambda *_, page_token, **__: pages[page_token],
    )
    assert count_looks(client, {"gate": "many"}) == {"gate": 2001}  # type: ignore[arg-type]


class Page(list[str]):
    """One page of a list, and the token of the next."""

    def __init__(self, items: list[str], token: str | None) -> None:
        """Remember the token."""
        super().__init__(items)
        self.token = token


def test_data_that_trains_leaves_the_test_split_as_worn_as_it_was() -> None:
    """A split is known by its content, so a version with more to train on counts on, and each split by itself."""
    digests = split_digests(built_digits())
    assert list(digests) == ["validation", "gate", "test"]
    assert len(set(digests.values())) == 3


def random_answers(_: object, bundle: Bundle, split: EvalSplit) -> dict[str, np.ndarray]:
    """Give unit vectors for all that a split asks, of a model whose name is the seed."""
    random = np.random.default_rng(len(bundle.workload))

    def embed(inputs: Inputs) -> np.ndarray:
        vectors = random.standard_normal((len(inputs.raw), 8)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return split.vectors(embed)


@pytest.mark.parametrize("built", [built_emoji_small, built_stamps_small])
def test_towers_are_tested_on_the_test_split_too(built: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders of encoders have quality, ratio, difference and recalls, which the report shows as the test split."""
    monkeypatch.setattr(RetrievalRuntime, "ask", random_answers)
    bundles = {name: Bundle(name, {}, {}) for name in ("teacher", "the_student")}
    bundles["student"] = bundles.pop("the_student")
    found = measured(runtime_of("retrieval"), built(), bundles, Path("nowhere"), 0.9)
    opened = Opened.model_validate(found | {"opening": 1, "split_digests": split_digests(built())})
    tested = TestDetails.model_validate(opened.details)
    assert set(tested.recalls["student"]) == {"test"}
    lines = recall_lines(Details.model_construct(recalls={"teacher": {"gate": {}}}, chance={"gate": {}}), tested)
    assert {line.split for line in lines} == {"test"}
    assert len(lines) == len(tested.recalls["student"]["test"])
