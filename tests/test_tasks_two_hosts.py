"""Two hosts that share only MLflow do the same work at the same moment: one result, and nothing of it is changed."""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from registry_samples import registered
from tiny_house import House, tiny_house

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, PREVIOUS, find_aliased, production_of
from stillhouse.tasks.tracking import shared_lock
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import HOST, find_nightly, open_nightly
from stillhouse.tasks.tracking.shared_lock import holding
from stillhouse.tasks.tracking.tags import PREFIX, STAGE

KEY, MODEL = "test/two_hosts", "tiny"
PRODUCTION = production_of(MODEL)
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[House]:
    """A night whose gate has passed, and that has registered nothing yet."""
    with tiny_house(tmp_path_factory.mktemp("house"), registry) as house:
        house.run(KEY, until="final_test")
        run_stage(house.recipe, "register", KEY)  # makes the signing key, which all hosts have
        forget(connect(registry))
        yield house


def forget(client: MlflowClient) -> None:
    """Empty the registry, and delete the runs of the stage register."""
    client.delete_registered_model(MODEL)
    for run in children(client):
        if run.data.tags[STAGE] == "register":
            client.delete_run(run.info.run_id)


def children(client: MlflowClient) -> list[Any]:
    nightly = find_nightly(client, MODEL, KEY)
    assert nightly is not None
    return nightly.children()


def at_once(deeds: dict[Path, Callable[[], Any]]) -> list[Any]:
    """Do each deed in a process of its own with a state folder of its own, all from the same moment on."""
    barrier, results = FORK.Barrier(len(deeds)), FORK.SimpleQueue()

    def work(state: Path, deed: Callable[[], Any], barrier: Barrier) -> None:
        os.environ["STILLHOUSE_STATE"] = str(state)
        barrier.wait()
        try:
            results.put(deed())
        except Exception as error:  # noqa: BLE001 - the test compares what came
            results.put(error)

    processes = [FORK.Process(target=work, args=(state, deed, barrier)) for state, deed in deeds.items()]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return found


@pytest.mark.long
def test_two_hosts_that_register_one_night_at_once_make_one_version(house: House, tmp_path: Path) -> None:
    """In each round both hosts name the same version, and it is the only one, whole and with its record."""
    client = connect(house.settings.tracking_uri)
    states = [house.settings.state, tmp_path / "other"]
    shutil.copytree(states[0], states[1])
    both_made = 0
    for round_number in range(int(os.environ.get("STILLHOUSE_TEST_ROUNDS", "6"))):
        results = at_once({state: lambda: run_stage(house.recipe, "register", KEY) for state in states})
        versions = client.search_model_versions(f"name = '{MODEL}'")
        assert [str(each.version) for each in versions] == [results[0]["version"]], (round_number, results)
        assert results[0] == results[1]
        assert find_aliased(client, MODEL, CANDIDATE) == results[0]["version"]
        assert versions[0].description
        assert [fault for _, fault in verify(MODEL, str(versions[0].version))] == [None, None, None]
        own = [run for run in children(client) if run.data.tags[STAGE] == "register"]
        assert [run.info.status for run in own] == ["FINISHED"] * len(own)
        assert {run.data.tags[f"{PREFIX}version"] for run in own} == {results[0]["version"]}
        both_made += len({run.info.run_id for run in own if run.outputs.model_outputs}) == 2
        forget(client)
    print(f"both hosts logged a model in {both_made} rounds")  # noqa: T201 - how often they met
    assert both_made


def promote_as(who: str, version: str) -> Callable[[], Any]:
    return lambda: promote(MODEL, Decision(who, "it passed"), version)


@pytest.mark.long
def test_promotions_of_two_hosts_at_once_are_in_one_order(client: MlflowClient, tmp_path: Path) -> None:
    """In each round each host promotes another version: two rows in one chain, the last is the champion."""
    states = [Path(os.environ["STILLHOUSE_STATE"]), tmp_path / "other"]
    registered(client, 0)
    rows = 0
    shutil.copytree(states[0] / "keys", states[1] / "keys")
    for number in range(int(os.environ.get("STILLHOUSE_TEST_ROUNDS", "6"))):
        versions = [registered(client, 2 * number + side + 1) for side in (0, 1)]
        deeds = {state: promote_as(who, each) for state, who, each in zip(states, "ab", versions, strict=True)}
        results = at_once(deeds)
        assert [type(each) for each in results] == [str, str], results
        found = audit.rows_of(client, PRODUCTION)
        assert {row.who for row in found[rows:]} == {"a", "b"}
        rows += 2
        assert len(found) == rows
        assert [row.before for row in found] == [None, *(row.after for row in found[:-1])]
        assert find_aliased(client, PRODUCTION, CHAMPION) == found[-1].after
        assert find_aliased(client, PRODUCTION, PREVIOUS) == found[-1].before
    names = {model.name for model in client.search_registered_models()}
    assert names == {MODEL, PRODUCTION}


def test_a_lock_of_another_host_is_respected_and_named(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second host waits, then refuses with the name of the holder; a lock that is too old is taken over."""
    monkeypatch.setattr(shared_lock, "PATIENCE", 0.5)
    with holding(client, "x.lock") as first:
        monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path / "other"))
        with pytest.raises(ServiceError, match=f":{tmp_path} has the lock x.lock; wait until"):
            holding(client, "x.lock").__enter__()
        monkeypatch.setattr(shared_lock, "LEASE", 0.0)
        with holding(client, "x.lock") as second:
            second.expect_held()
            with pytest.raises(ServiceError, match=r"another host took the lock x\.lock over"):
                first.expect_held()
    assert not client.search_registered_models()


def test_a_lock_that_a_killed_process_left_is_taken_over_on_its_host(client: MlflowClient) -> None:
    """The host's own file lock says that the former holder is dead."""
    left = holding(client, "x.lock")
    left.__enter__()
    with holding(client, "x.lock") as lock:
        lock.expect_held()
    assert not client.search_registered_models()


def test_a_late_worker_changes_only_its_own_run(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without network goes on while another host finishes the stage; its tags and its fault stay apart."""
    late = open_nightly(client, MODEL, "test/late").child("teacher", "teacher", "k")
    of_late = late.__enter__()
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path / "other"))
    with open_nightly(client, MODEL, "test/late").child("teacher", "teacher", "k") as of_other:
        of_other.tag("digest", "good")
    before = client.get_run(of_other.run_id)
    of_late.tag("digest", "late")
    of_late.conclude({"quality": 0.0})
    late.__exit__(None, None, None)
    assert of_late.run_id != of_other.run_id
    after = client.get_run(of_other.run_id)
    assert (after.data.tags, after.data.metrics, after.info.status) == (before.data.tags, {}, "FINISHED")
    assert client.get_run(of_late.run_id).data.metrics == {"quality": 0.0}


def test_a_try_on_the_same_host_goes_on_in_its_run(client: MlflowClient) -> None:
    """A stage that failed continues in its run, which names the host."""
    night = open_nightly(client, MODEL, "test/same")
    with pytest.raises(RuntimeError), night.child("teacher", "teacher", "k") as first:
        raise RuntimeError
    with night.child("teacher", "teacher", "k") as second:
        pass
    assert first.run_id == second.run_id
    assert client.get_run(first.run_id).data.tags[HOST].endswith(os.environ["STILLHOUSE_STATE"])
