"""What `stillhouse gc` deletes, and what it never does: a table of nights and versions, and a real MLflow."""

import time
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from retention_samples import (
    BYTES,
    STAGES,
    ToyNight,
    active,
    collect_before,
    in_mlflow,
    make_deployment,
    output_in_mlflow,
    toy_night,
)

from stillhouse.tasks.artifacts.artifact import verify as verify_artifact
from stillhouse.tasks.pipeline.run_stage import _claim
from stillhouse.tasks.retention import collect as collection
from stillhouse.tasks.retention.collect import DAY, collect
from stillhouse.tasks.retention.facts import Facts, StageRun, Version
from stillhouse.tasks.retention.in_use import looking
from stillhouse.tasks.retention.needed import DEAD_AFTER, find_needed, runs_to_go, versions_to_go
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.child import Child
from stillhouse.tasks.tracking.deleted import is_active
from stillhouse.tasks.tracking.runs import find_finished
from stillhouse.tasks.tracking.tags import ARTIFACT

NOW, OLD, YOUNG = 100 * DAY, 50 * DAY, 99 * DAY
CUTOFF = NOW - 30 * DAY

NIGHT = (StageRun("n", "n", OLD), StageRun("t", "n", OLD, stage="teacher", key="k", digest="d"))
LATER = (StageRun("m", "m", YOUNG), StageRun("u", "m", YOUNG, stage="teacher", key="k", origin="t", digest="d"))
VERSION = Version("tiny", "1", OLD, is_ours=True, digest="f", runs=frozenset({"n", "t"}))
COPY = Version("tiny-production", "1", OLD, is_ours=True, digest="f", runs=frozenset({"n", "t"}))
OPEN = replace(NIGHT[1], is_open=True)
TABLE: dict[str, tuple[Facts, set[str], set[str]]] = {
    "an old night goes": (Facts(NIGHT), {"n", "t"}, set()),
    "a young night stays": (Facts(LATER), set(), set()),
    "what a young night reuses stays": (Facts(NIGHT + LATER), {"n"}, set()),
    "a night with one young stage stays": (Facts((NIGHT[0], replace(NIGHT[1], last=YOUNG))), set(), set()),
    "a night that has not ended stays": (
        Facts((replace(NIGHT[0], last=CUTOFF - 1), replace(OPEN, last=NOW - DEAD_AFTER + 9))),
        set(),
        set(),
    ),
    "a night that was killed long ago goes": (Facts((NIGHT[0], OPEN)), {"n", "t"}, set()),
    "a stage whose night a person deleted goes": (Facts(NIGHT[1:]), {"t"}, set()),
    "an old version goes with its night": (Facts(NIGHT, (VERSION,)), {"n", "t"}, {"tiny/1"}),
    "a version with an alias keeps its night": (Facts(NIGHT, (replace(VERSION, has_alias=True),)), set(), set()),
    "a promoted version stays, and what it was copied from": (Facts(NIGHT, (VERSION, COPY)), set(), set()),
    "a young version stays": (Facts(NIGHT, (replace(VERSION, created=YOUNG),)), set(), set()),
    "a version that a promotion is about to copy stays": (
        Facts(NIGHT, (VERSION,), pending=frozenset({"tiny/1"})),
        set(),
        set(),
    ),
    "a version that a young night found again stays": (
        Facts((*NIGHT, *LATER, StageRun("r", "m", YOUNG, stage="register", version="1")), (VERSION,)),
        set(),
        set(),
    ),
    "a version of somebody else stays, and its runs": (Facts(NIGHT, (replace(VERSION, is_ours=False),)), set(), set()),
    "a run that the audit names stays": (Facts(NIGHT, named=frozenset({"n"})), {"t"}, set()),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_goes_follows_from_the_facts(case: str) -> None:
    """Each case names the runs and the versions that go; all others stay."""
    facts, runs, versions = TABLE[case]
    needed = find_needed(facts, CUTOFF, NOW)
    assert {run.run_id for run in runs_to_go(facts, needed)} == runs
    assert {version.name for version in versions_to_go(facts, needed)} == versions


def test_this_host_keeps_what_a_recent_night_reads() -> None:
    """Keys, datasets and teachers of recent nights are needed here, those of old nights in MLflow only."""
    pull = StageRun("p", "m", YOUNG, stage="pull", key="q", content="c", data="5.dir")
    needed = find_needed(Facts((*NIGHT, *LATER, pull), (COPY,)), CUTOFF, NOW)
    assert (needed.keys, needed.contents, needed.teachers) == ({"k", "q"}, {"c"}, {"d"})
    assert (needed.data_versions, needed.is_busy) == ({"c": "5.dir"}, False)
    assert not find_needed(Facts(NIGHT, (COPY,)), CUTOFF, NOW).keys
    assert find_needed(Facts((*LATER, replace(pull, is_open=True))), CUTOFF, NOW).is_busy


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A deployment with an MLflow of files, and no night yet."""
    return make_deployment(tmp_path, monkeypatch)


def everything(client: MlflowClient) -> tuple[set[str], dict[str, int]]:
    """List all runs and all files of a deployment."""
    root = load_settings().state
    files = {str(path): path.stat().st_size for path in root.rglob("*") if path.is_file() and ".lock" not in path.name}
    return active(client), {path: size for path, size in files.items() if "mlflow.db" not in path}


def on_host(night: ToyNight) -> set[Path]:
    return {load_settings().artifacts / key for key in night.keys.values()}


def test_a_dry_run_changes_nothing_and_says_what_would_go(house: MlflowClient) -> None:
    """Without `really` every run and every byte stays, and the count equals what a deletion then frees."""
    toy_night(house, 1, registers=True)
    toy_night(house, 2, registers=True)
    moment = time.time()
    before = everything(house)
    told = collect(load_settings(), days=(time.time() - moment) / DAY)
    assert everything(house) == before
    done = collect_before(moment)
    assert done.counts == told.counts
    counts = {kind: count.things for kind, count in told.counts.items() if count.things}
    assert counts == {
        "runs in MLflow, with their files": len(STAGES) + 2,
        "versions in the registry": 1,
        "stage outputs on this host": 2 * len(STAGES),
        "reports": 2,
    }
    assert told.bytes > 3 * len(STAGES) * BYTES
    freed = sum(before[1].values()) - sum(everything(house)[1].values())
    assert abs(freed - told.bytes) < 1_000


def test_an_old_night_goes_and_a_young_one_stays_whole(house: MlflowClient) -> None:
    """Rows, artifacts, host folders and the report of the old night go; every output of the young one is there."""
    old = toy_night(house, 1)
    moment = time.time()
    young = toy_night(house, 2)
    collect_before(moment)
    assert active(house) == in_mlflow(young)
    assert not any(path.exists() for path in on_host(old))
    assert all(verify_artifact(path) for path in on_host(young))
    assert [path.name for path in load_settings().runs.iterdir()] == ["night_2"]
    folders = {path.name for path in load_settings().state.glob("mlflow/artifacts/*")}
    assert in_mlflow(young) <= folders
    assert not in_mlflow(old) & folders


def test_what_a_running_night_reuses_stays(house: MlflowClient) -> None:
    """The old outputs of which an open night reads are whole in MLflow and on this host, and are found by their key."""
    old = toy_night(house, 1)
    toy_night(house, 2, reuse=old, open_stage="export")
    collect_before(time.time())
    for stage, run in old.runs.items():
        assert run in active(house)
        assert verify_artifact(load_settings().artifacts / old.keys[stage])
        assert output_in_mlflow(house, run)
    assert old.nightly.run_id not in active(house)


def test_a_collection_waits_for_a_stage_that_looks_for_earlier_work(house: MlflowClient) -> None:
    """A stage that has found an old output notes it before the collection decides, so the output stays."""
    old = toy_night(house, 1)
    with looking(load_settings().state):
        thread = Thread(target=collect_before, args=(time.time(),))
        thread.start()
        (found,) = find_finished(house, old.keys["teacher"])
        time.sleep(1.0)
        toy_night(house, 2, reuse=old, stages=("teacher",), open_stage="teacher")
    thread.join()
    assert found.info.run_id in active(house)
    assert verify_artifact(load_settings().artifacts / old.keys["teacher"])


def test_a_run_that_another_host_begins_to_reuse_is_restored(
    house: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage without the lock notes the run while the collection marks it: the run and its files stay."""
    old = toy_night(house, 1)
    mark = collection.mark

    def mark_late(*arguments: Any) -> None:
        toy_night(house, 2, reuse=old, open_stage="export", stages=["export"])
        mark(*arguments)

    monkeypatch.setattr(collection, "mark", mark_late)
    collect_before(time.time())
    assert old.runs["export"] in active(house)
    assert "stillhouse.collected" not in house.get_run(old.runs["export"]).data.tags
    assert output_in_mlflow(house, old.runs["export"])
    assert old.runs["teacher"] not in active(house)


def test_a_stage_does_not_reuse_a_run_that_was_deleted_after_it_was_found(house: MlflowClient) -> None:
    """The note of the stage is taken back, and the stage does its work."""
    old, new = toy_night(house, 1), toy_night(house, 2, open_stage="export")
    child = Child(house, new.runs["export"])
    assert _claim(child, old.runs["export"])
    house.delete_run(old.runs["export"])
    assert not _claim(child, old.runs["export"])
    assert "stillhouse.reused_from" not in house.get_run(child.run_id).data.tags
    assert not is_active(house, "0" * 32)


def test_what_a_person_deleted_can_still_be_restored(house: MlflowClient) -> None:
    """A run and an experiment that a person deleted are not touched, nor is a run that no night made."""
    night = toy_night(house, 1)
    other = house.create_experiment("of somebody else", artifact_location=str(load_settings().state / "other"))
    run = house.create_run(other).info.run_id
    house.delete_run(night.runs["pull"])
    house.delete_experiment(other)
    toy_night(house, 2)
    collect_before(time.time())
    house.restore_experiment(other)
    house.restore_run(night.runs["pull"])
    assert active(house) == {run, night.runs["pull"]}


def test_a_server_deletes_the_files_that_it_holds(
    client: MlflowClient, registry_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the database of a server the runs are marked, and a sentence says what is missing; with it, they go."""
    monkeypatch.setenv("STILLHOUSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("STILLHOUSE_ROOT", str(tmp_path))
    night = toy_night(client, 1)
    (found,) = collect_before(time.time()).notes
    assert found.startswith(f"{len(STAGES) + 1} runs are marked as deleted in http://127.0.0.1")
    assert "set MLFLOW_BACKEND_STORE_URI and do it again, or run `mlflow gc`" in found
    assert not active(client) & in_mlflow(night)
    place = registry_root / "artifacts" / client.get_run(night.nightly.run_id).info.experiment_id
    assert (place / night.runs["teacher"] / "artifacts" / ARTIFACT / "weights.bin").exists()
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{registry_root}/mlflow.db")
    found_again = collect_before(time.time())
    assert not found_again.notes
    assert found_again.counts["left by a killed collection"].things == len(STAGES) + 1
    assert not (place / night.runs["teacher"] / "artifacts" / ARTIFACT).exists()
