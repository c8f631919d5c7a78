"""Stages on a real MLflow: done once, reused while nothing changes, taken up after a kill, registered once."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from data_samples import built_digits
from tiny_house import House, tiny_house

from stillhouse.tasks.artifacts.artifact import seal, verify
from stillhouse.tasks.errors import ArtifactError, RecipeError, ServiceError, StillhouseError
from stillhouse.tasks.judging.champion_comparison import ANSWER, ChampionComparison
from stillhouse.tasks.judging.seeds import run_seeds
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.provenance.places import CARD, RECORD
from stillhouse.tasks.provenance.verify import fetch_record
from stillhouse.tasks.provenance.verify import verify as verify_version
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.staleness import STALE, list_staleness
from stillhouse.tasks.registry.status import describe_status, note_all_staleness, stale_recipes
from stillhouse.tasks.registry.versions import find_aliased, version_with_digest
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.held_out import EXPERIMENT, count_looks, split_digests
from stillhouse.tasks.tracking.tags import NOTE, PREFIX

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 240.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Set up the house; nothing in it is faked."""
    with tiny_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def versions(house: House) -> list[str]:
    return sorted(str(v.version) for v in connect(house.settings.tracking_uri).search_model_versions("name = 'tiny'"))


@pytest.fixture(scope="module")
def first(house: House) -> dict[str, Any]:
    """The first whole run."""
    return house.run("test/first")


def test_a_run_ends_with_a_verdict_a_report_and_a_candidate(house: House, first: dict[str, Any]) -> None:
    """All stages finish, the report and the summary are written, and the alias candidate names the version."""
    assert first["verdict"] == "PASS"
    summary = json.loads((house.settings.runs / "latest" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["mlflow"]["version"], summary["mlflow"]["alias"], summary["error"]) == ("1", "candidate", None)
    assert {run.info.status for run in house.stages("test/first").values()} == {"FINISHED"}
    assert find_aliased(connect(house.settings.tracking_uri), "tiny", "candidate") == "1"


def test_epochs_are_tracked(house: House, first: dict[str, Any]) -> None:
    """The teacher's run in MLflow has one point of loss and validation quality per epoch."""
    del first
    client, run = connect(house.settings.tracking_uri), house.stages("test/first")["teacher"]
    assert [m.step for m in client.get_metric_history(run.info.run_id, "train_loss")] == list(range(1, 7))


def looks(house: House) -> dict[str, int]:
    """Count the looks at the house's splits."""
    return count_looks(connect(house.settings.tracking_uri), split_digests(built_digits()))


@pytest.mark.usefixtures("first")
def test_report_summary_version_and_record_have_the_final_test(house: House) -> None:
    """All four read final_test.json, and the report and the summary say how often the splits were looked at."""
    opened = json.loads((house.output("test/first", "final_test") / "final_test.json").read_text("utf-8"))["opened"]
    folder = house.settings.runs / "test__first"
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["final_test"]["student"] == opened["student"]["value"]
    trained = [stage for stage in stages_of(load_recipe(house.recipe)) if stage.kind in {"teacher", "compress"}]
    assert summary["looks"] == looks(house) == {"validation": len(trained), "gate": 2, "test": 1}
    page = (folder / "report.html").read_text("utf-8")
    assert "the test split was opened once, the gate split was looked at twice" in page
    client = connect(house.settings.tracking_uri)
    assert f"{opened['student']['value']:.2%} on the test split, " in client.get_model_version("tiny", "1").description
    where = client.download_artifacts(house.parent("test/first").info.run_id, "provenance", str(house.settings.state))
    record = json.loads((Path(where) / "record.json").read_text("utf-8"))
    assert record["final_test"]["opened"] == opened
    assert "| quality, test split |" in (Path(where).parent / CARD).read_text("utf-8")


@pytest.mark.usefixtures("first")
def test_a_look_says_who_looked(house: House) -> None:
    """Each run of the experiment names recipe, stage, split, and version of the data."""
    client = connect(house.settings.tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    for run in client.search_runs([experiment.experiment_id]):
        assert {f"{PREFIX}{name}" for name in ("recipe", "looked", "split", "split_digest", "data_version")} <= set(
            run.data.tags
        )
        assert run.info.status == "FINISHED"


@pytest.mark.usefixtures("first")
@pytest.mark.long
def test_a_night_that_reuses_all_looks_at_nothing(house: House) -> None:
    """Stages that are reused leave every count as it was; one that is forced counts, and opens nothing."""
    before = looks(house)
    house.run("test/again")
    assert looks(house) == before
    run_stage(house.recipe, "evaluate", "test/again", force=True)
    run_stage(house.recipe, "gate", "test/again")
    run_stage(house.recipe, "final_test", "test/again", force=True)
    assert looks(house) == before | {"gate": before["gate"] + 1}


@pytest.mark.usefixtures("first")
def test_the_report_of_a_night_that_fails_says_that_nothing_was_opened(house: House) -> None:
    """A verdict that is not PASS has no figure of the test split anywhere."""
    before = looks(house)["test"]
    house.change(bytes=1_000_000)
    house.run("test/fails")
    house.change(bytes=2)
    page = (house.settings.runs / "test__fails" / "report.html").read_text("utf-8")
    assert "No final test: the verdict is FAIL, so the test split stays closed." in page
    assert looks(house)["test"] == before


@pytest.mark.usefixtures("first")
def test_a_second_run_does_no_work_twice(house: House) -> None:
    """With nothing changed every stage before the registry is reused, and no second version appears."""
    house.run("test/second")
    stages = house.stages("test/second")
    assert {name for name, run in stages.items() if f"{PREFIX}reused_from" in run.data.tags} == {
        stage.name for stage in stages_of(load_recipe(house.recipe)) if stage.reusable
    }
    assert versions(house) == ["1"]


@pytest.mark.long
def test_seeds_show_what_is_luck(house: House, first: dict[str, Any]) -> None:
    """Each seed trains its own teacher and student; the recipe's own seed is reused, and the mean lies between both."""
    del first
    told: list[str] = []
    found = run_seeds(house.recipe, [7, 8], told.append)
    own, other = (house.stages(f"seeds/tiny_{seed}")["teacher"] for seed in (7, 8))
    assert f"{PREFIX}reused_from" in own.data.tags
    assert f"{PREFIX}reused_from" not in other.data.tags
    assert told[:2] == ["seed 7: pull", "seed 7: validate"]
    assert told[-1] == "seed 8: gate"
    low, high = sorted(found["student_gate"]["values"])
    assert low <= found["student_gate"]["mean"] <= high
    assert "interval_with_examples" in found["points_gate"]
    assert "test" not in str(found)
    for too_few in ([7, 7], []):  # none takes the recipe's, which lists none
        with pytest.raises(RecipeError, match="fewer than two different ones"):
            run_seeds(house.recipe, too_few, told.append)


@pytest.mark.usefixtures("first")
def test_an_altered_output_is_not_reused(house: House) -> None:
    """A stage output altered on disk is noticed and fetched again from MLflow, byte for byte."""
    key = house.stages("test/first")["teacher"].data.tags[f"{PREFIX}stage_key"]
    weights = house.settings.artifacts / key / "model" / "model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    run_stage(house.recipe, "pull", "test/altered")
    run_stage(house.recipe, "validate", "test/altered")
    assert run_stage(house.recipe, "teacher", "test/altered")["reused"] == 1
    assert weights.read_bytes() == original


@pytest.mark.usefixtures("first")
def test_another_host_takes_outputs_from_mlflow(house: House) -> None:
    """A host without any stage output of its own reuses what MLflow holds instead of training."""
    shutil.rmtree(house.settings.artifacts)
    shutil.rmtree(house.settings.data_cache)
    house.run("test/other_host", until="step_1_distil")
    assert f"{PREFIX}reused_from" in house.stages("test/other_host")["step_1_distil"].data.tags


@pytest.mark.usefixtures("first")
def test_a_no_registers_nothing(house: House) -> None:
    """A gate that says no skips the registry with its reason, and the report is written all the same."""
    house.change(bytes=1000)
    try:
        house.run("test/refused", until="final_test")
        assert "FAIL" in run_stage(house.recipe, "register", "test/refused")["skipped"]
        assert run_stage(house.recipe, "report", "test/refused")["verdict"] == "FAIL"
        assert house.parent("test/refused").data.tags[NOTE].startswith("**FAIL**: student file is ")
    finally:
        house.change(bytes=2)
    assert versions(house) == ["1"]


@pytest.mark.usefixtures("first")
def test_a_report_can_be_written_again(house: House) -> None:
    """A second report after a change of the recipe is the first again: its run keeps the recipe it began with."""
    before = house.parent("test/first").data
    house.change(bytes=3)
    try:
        run_stage(house.recipe, "report", "test/first")
    finally:
        house.change(bytes=2)
    page = house.parent("test/first").data
    assert page.params["gate.bytes"] == "2.0"
    assert page.tags[NOTE] == before.tags[NOTE]


@pytest.mark.usefixtures("first")
def test_the_registry_and_the_experiment_say_what_they_hold(house: House) -> None:
    """MLflow's page of a recipe's model names the production model, that of its experiment the columns to look at."""
    client = connect(house.settings.tracking_uri)
    assert "What is live is in `tiny-production`" in client.get_registered_model("tiny").description
    assert "`ratio_bytes`" in client.get_experiment_by_name("tiny").tags[NOTE]


@pytest.mark.usefixtures("first")
def test_a_missing_metric_registers_nothing(house: House) -> None:
    """An evaluation without its bytes is an error at the gate that names the metric."""
    run = house.stages("test/first")["evaluate"]
    folder = house.settings.artifacts / run.data.tags[f"{PREFIX}stage_key"]
    house.run("test/missing", until="evaluate")
    kept = shutil.copytree(folder, folder.with_name("kept"))
    evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    del evaluation["ratios"]["bytes"]
    (folder / "evaluation.json").write_text(json.dumps(evaluation), encoding="utf-8")
    artifact = seal(folder, {})
    connect(house.settings.tracking_uri).set_tag(
        house.stages("test/missing")["evaluate"].info.run_id, f"{PREFIX}digest", artifact.digest
    )
    with pytest.raises(StillhouseError, match=r"ratios\.bytes"):
        run_stage(house.recipe, "gate", "test/missing")
    shutil.rmtree(folder)
    kept.rename(folder)


def test_killed_training_goes_on_to_the_same_weights(house: House, tmp_path: Path) -> None:
    """After kill -9 in the middle of the teacher, a retry ends with the weights of an undisturbed run."""
    undisturbed = tmp_path / "undisturbed"
    house.run("test/undisturbed", until="teacher", force=True)
    key = house.stages("test/undisturbed")["teacher"].data.tags[f"{PREFIX}stage_key"]
    shutil.copytree(house.settings.artifacts / key, undisturbed)
    shutil.rmtree(house.settings.artifacts / key)
    house.run("test/killed", until="validate")
    checkpoint = house.settings.state / "scratch" / key / "training.safetensors"
    kill_when_there(house, checkpoint)
    assert checkpoint.exists()
    assert house.stages("test/killed")["teacher"].info.status == "RUNNING"
    run_stage(house.recipe, "teacher", "test/killed")
    assert verify(house.settings.artifacts / key).digest == verify(undisturbed).digest
    assert house.stages("test/killed")["teacher"].info.status == "FINISHED"


def kill_when_there(house: House, checkpoint: Path) -> None:
    """Train the teacher in a process of its own and kill it once a checkpoint is written."""
    code = (
        "import sys; from pathlib import Path; from stillhouse.tasks.pipeline.run_stage import run_stage;"
        f"run_stage(Path({str(house.recipe)!r}), 'teacher', 'test/killed', force=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
    deadline = time.monotonic() + SECONDS
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before its first checkpoint"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.usefixtures("first")
def test_registering_again_makes_no_second_version(house: House) -> None:
    """Registering the same run a second time finds the version that is there."""
    assert run_stage(house.recipe, "register", "test/first") == {"model": "tiny", "version": "1"}
    assert versions(house) == ["1"]


@pytest.mark.usefixtures("first")
def test_a_version_says_where_it_comes_from(house: House) -> None:
    """A version is tagged with verdict, recipe, data, code, teacher run, ratios and its file's digest."""
    client = connect(house.settings.tracking_uri)
    version = client.get_model_version("tiny", "1")
    names = {name.removeprefix(PREFIX) for name in version.tags}
    expected = {"verdict", "recipe", "data_version", "code_version", "teacher_run", "digest"}
    assert expected | {"ratio_bytes", "ratio_latency", "ratio_quality"} <= names
    known = version_with_digest(client, "tiny", version.tags[f"{PREFIX}digest"])
    assert known is not None
    assert str(known.version) == "1"


@pytest.mark.usefixtures("first")
def test_a_version_has_a_record_that_verifies(house: House) -> None:
    """The record names data, code, recipe, every stage and the runtime; one that was altered is noticed."""
    client = connect(house.settings.tracking_uri)
    version = client.get_model_version("tiny", "1")
    assert [fault for _, fault in verify_version("tiny", "1")] == [None, None, None]
    record = fetch_record(client, version)
    assert record["file"]["digest"] == version.tags[f"{PREFIX}digest"]
    assert record["data"]["data_version"] == version.tags[f"{PREFIX}data_version"]
    assert [stage["stage"] for stage in record["lineage"]] == [
        stage.name for stage in stages_of(load_recipe(house.recipe)) if stage.reusable
    ]
    assert {component["name"] for component in record["sbom"]["components"]} == {"onnxruntime", "numpy"}
    assert version.description.splitlines()[2] == "# tiny"
    altered = copy.deepcopy(record)
    altered["metrics"]["student"]["bytes"] = 1
    client.log_dict(version.tags[f"{PREFIX}nightly_run"], altered, RECORD.path)
    faults = dict(verify_version("tiny", "1"))
    client.log_dict(version.tags[f"{PREFIX}nightly_run"], record, RECORD.path)
    assert list(map(bool, faults.values())) == [False, True, False]


@pytest.mark.long
@pytest.mark.usefixtures("first")
def test_the_next_night_is_measured_beside_the_champion(house: House) -> None:
    """What is in production is measured anew with the student, and the very same student is not."""
    said = promote("tiny", Decision("ann", "the first"))
    assert said.startswith("tiny version 1 is the champion now")
    house.run("test/same", until="compare_champion")
    comparison = comparison_of(house, "test/same")
    assert (comparison.champion, comparison.measured) == ("1", None)
    assert "is version 1 of production itself" in str(comparison.reason)
    content = yaml.safe_load(house.recipe.read_text(encoding="utf-8"))
    changed = copy.deepcopy(content)
    changed["steps"][-1] = {"method": "quantize", "weights": "int4"}
    house.recipe.write_text(yaml.safe_dump(changed), encoding="utf-8")
    metrics = house.run("test/other", until="compare_champion")
    comparison = comparison_of(house, "test/other")
    house.recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert comparison.measured is not None
    assert 0 <= comparison.measured.paired.churn < 0.5
    assert metrics["champion_bytes"] == comparison.measured.bytes
    assert metrics["better"] == len(comparison.better())


def comparison_of(house: House, key: str) -> ChampionComparison:
    """What a run's stage compare_champion wrote."""
    return ChampionComparison.model_validate_json(
        (house.output(key, "compare_champion") / ANSWER).read_text(encoding="utf-8")
    )


@pytest.mark.long
def test_a_newer_teacher_makes_the_champion_stale(house: House, first: dict[str, Any]) -> None:
    """A night with another teacher that is not promoted leaves the champion marked, until it is its own again."""
    del first
    promote("tiny", Decision("ann", "the first"))
    client, recipe = connect(house.settings.tracking_uri), load_recipe(house.recipe)
    assert list_staleness(client, house.settings, recipe) == []
    content = yaml.safe_load(house.recipe.read_text(encoding="utf-8"))
    changed = copy.deepcopy(content)
    changed["teacher"]["training"]["epochs"] = 5
    changed["gate"]["bytes"] = 1000
    house.recipe.write_text(yaml.safe_dump(changed), encoding="utf-8")
    house.run("test/teacher")
    house.recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    newest = house.stages("test/teacher")["teacher"].info.run_id
    summary = json.loads((house.settings.runs / "latest" / "summary.json").read_text(encoding="utf-8"))
    assert [reason.endswith(f"the newest of run {newest}") for reason in summary["stale"]] == [True]
    assert client.get_model_version("tiny-production", "1").tags[STALE] == summary["stale"][0]
    assert stale_recipes(client, house.settings, house.recipe.parent) == ["tiny"]
    assert note_all_staleness(client, house.settings, house.recipe.parent, "digits") == [f"tiny: {summary['stale'][0]}"]
    lines = describe_status(client, house.settings, recipe)
    assert [line.split(":")[0] for line in lines] == ["live", "stale"]
    assert lines[0].endswith("promote by ann: the first")
    house.run("test/back")
    assert STALE not in client.get_model_version("tiny-production", "1").tags
    assert list_staleness(client, house.settings, recipe) == []


def test_a_stage_needs_what_comes_before_it(house: House) -> None:
    """A stage run without its inputs names the stage to run first, and an unknown stage the ones there are."""
    with pytest.raises(ArtifactError, match="stage validate of run test/alone has not finished; run it first"):
        alone(house)
    with pytest.raises(RecipeError, match="recipe tiny has no stage 'polish'; use one of pull, validate"):
        run_stage(house.recipe, "polish", "test/alone")


def alone(house: House) -> None:
    run_stage(house.recipe, "pull", "test/alone")
    run_stage(house.recipe, "teacher", "test/alone")


def test_a_diverging_training_ends_in_one_sentence(house: House) -> None:
    """A loss that is no number fails the teacher with the remedy, marks its run in MLflow, and leaves no output."""
    content = yaml.safe_load(house.recipe.read_text(encoding="utf-8"))
    content["name"] = "diverging"
    content["teacher"]["training"] |= {"learning_rate": 1e30, "optimizer": "sgd"}
    recipe = house.recipe.with_name("diverging.yaml")
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    for stage in ("pull", "validate"):
        run_stage(recipe, stage, "test/diverging")
    with pytest.raises(StillhouseError, match=r"stage teacher: the loss became (nan|inf) in epoch 1, .*lower the"):
        run_stage(recipe, "teacher", "test/diverging")
    with pytest.raises(StillhouseError, match="stage teacher failed: stage teacher: the loss became"):
        run_stage(recipe, "report", "test/diverging")
    summary = json.loads((house.settings.runs / "latest" / "summary.json").read_text(encoding="utf-8"))
    assert "the loss became" in summary["error"]
    assert summary["mlflow"]["version"] is None


def test_a_dead_mlflow_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """When MLflow does not answer, the stage ends in one sentence with its address and the remedy."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match=r"MLflow does not answer at http://127\.0\.0\.1:9; start it with `make up`"):
        run_stage(house.recipe, "pull", "test/dead")


def test_a_disk_that_cannot_be_written_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """When outputs cannot be written, the stage ends in one sentence that names the place."""
    monkeypatch.setenv("STILLHOUSE_STATE", "/proc/nowhere")
    with pytest.raises(StillhouseError, match=r"/proc/nowhere.*(free the disk|mend)"):
        run_stage(house.recipe, "pull", "test/full", force=True)


def test_digits_are_real() -> None:
    """The tests' data is the published digits set: 1,797 images in five splits."""
    description = json.loads((built_digits() / "dataset.json").read_text(encoding="utf-8"))
    assert sum(split["count"] for split in description["splits"].values()) == 1797
