"""Versions, kills and a hundred nights: what `stillhouse gc` leaves can be served, verified and rolled back to."""

import itertools
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient
from registry_samples import MODEL
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
from tiny_house import tiny_house

from stillhouse.tasks.artifacts.artifact import verify as verify_artifact
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, promote, refuse, rollback
from stillhouse.tasks.registry.versions import CHAMPION, find_aliased, production_of
from stillhouse.tasks.retention import collect as collecting
from stillhouse.tasks.retention import mlflow_store
from stillhouse.tasks.retention.discard import size_of
from stillhouse.tasks.serving.open_version import open_served
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages import load_test
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import find_finished
from stillhouse.tasks.tracking.tags import PREFIX

ANN = Decision("ann", "it is better")
PRODUCTION = production_of(MODEL)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A deployment with an MLflow of files, and no night yet."""
    return make_deployment(tmp_path, monkeypatch)


def promoted_nights(client: MlflowClient) -> list[ToyNight]:
    """Three nights, all promoted one after the other; between them one that was refused, and one that nobody saw."""
    nights = []
    for number in range(5):
        night = toy_night(client, number, registers=True)
        if number == 1:
            page = {"MLflow run": f"http://127.0.0.1/#/experiments/1/runs/{night.nightly.run_id}?a=b"}
            refuse(MODEL, night.version, Decision("ann", "no", page), "deed")
        elif number != 3:
            promote(MODEL, ANN)
        nights.append(night)
    return nights


def test_every_version_that_was_promoted_is_served_verified_and_rolled_back_to(house: MlflowClient) -> None:
    """All promoted versions stay whole; of a refused one the report stays, and of the others nothing."""
    nights = promoted_nights(house)
    toy_night(house, 9, registers=True)
    collect_before(time.time())
    for number in ("1", "2", "3"):
        assert [fault for _, fault in verify(PRODUCTION, number)] == [None, None, None]
        assert open_served(house.get_model_version(PRODUCTION, number)).version == number
    assert {str(each.version) for each in house.search_model_versions(f"name = '{MODEL}'")} == {"1", "3", "5", "6"}
    assert [row.action for row in audit.rows_of(house, PRODUCTION)] == ["promote", "refuse", "promote", "promote"]
    assert all(in_mlflow(nights[number]) <= active(house) for number in (0, 2, 4))
    assert active(house) & in_mlflow(nights[1]) == {nights[1].nightly.run_id}
    assert not active(house) & in_mlflow(nights[3])
    assert rollback(MODEL, ANN).startswith(f"{PRODUCTION} version 2 is the champion now")
    assert rollback(MODEL, ANN, row=3).startswith(f"{PRODUCTION} version 1 is the champion now")
    assert find_aliased(house, PRODUCTION, CHAMPION) == "1"
    assert "is the champion now" in promote(MODEL, ANN)


class Killed(BaseException):
    """What a kill looks like from inside: no handler of ours catches it."""


def dying(function: Any, number: int) -> Any:
    """Make a function that dies instead of its n-th call."""
    left = itertools.count(1)

    def call(*arguments: Any, **options: Any) -> Any:
        if next(left) == number:
            raise Killed
        return function(*arguments, **options)

    return call


KILLS: dict[str, tuple[Any, str, int]] = {
    "a folder hidden": (collecting, "hide", 3),
    "a version taken out of the registry": (MlflowClient, "delete_run", 1),
    "half of the runs marked": (MlflowClient, "delete_run", 4),
    "a run tagged": (MlflowClient, "set_tag", 2),
    "nothing deleted yet": (collecting, "delete", 1),
    "some folders deleted": (collecting, "delete", 4),
    "no row deleted": (mlflow_store.SqlAlchemyStore, "delete_logged_model", 1),
    "some artifacts deleted": (shutil, "rmtree", 8),
    "some rows deleted": (mlflow_store.SqlAlchemyStore, "_hard_delete_run", 3),
    "the model deleted": (mlflow_store.SqlAlchemyStore, "_hard_delete_logged_model", 1),
}


@pytest.mark.parametrize("case", KILLS)
def test_killed_in_the_middle_it_is_run_again(house: MlflowClient, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill every run that a stage finds is whole, and the next collection ends as an undisturbed one would."""
    old = toy_night(house, 1, registers=True)
    moment = time.time()
    young = toy_night(house, 2, registers=True)
    where, name, number = KILLS[case]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, dying(getattr(where, name), number))
        with pytest.raises(Killed):
            collect_before(moment)
    for night, stage in itertools.product((old, young), STAGES):
        for run in find_finished(house, night.keys[stage]):
            assert output_in_mlflow(house, run.info.run_id) == run.data.tags[f"{PREFIX}digest"]
        folder = load_settings().artifacts / night.keys[stage]
        assert not folder.exists() or verify_artifact(folder)
    collect_before(moment)
    assert in_mlflow(young) <= active(house)
    assert not active(house) & in_mlflow(old)
    everywhere = [each.experiment_id for each in house.search_experiments(view_type=ViewType.ALL)]
    assert not house.search_runs(everywhere, "", ViewType.DELETED_ONLY)
    assert not list(load_settings().state.rglob("*.collected"))
    assert [each.version for each in house.search_model_versions()] == [2]
    models = load_settings().state.glob("mlflow/artifacts/models/*")
    assert sum(size_of(model) > 0 for model in models) == 1  # an empty folder may be left


NIGHTS, EVERY, KEPT = 100, 10, 10
"""Nights of the test, nights from one collection to the next, and nights that a collection keeps."""


def test_a_hundred_toy_nights_stay_below_the_bound(house: MlflowClient) -> None:
    """The deployment never holds more than the recent nights, the promoted ones and the database."""
    ended, promoted, largest = list[float](), 0, 0
    for number in range(NIGHTS):
        passes = number % 20 == 5
        toy_night(house, number, registers=passes, stages=STAGES[1:])
        if passes:
            promote(MODEL, ANN)
            promoted += 1
        ended.append(time.time())
        if number % EVERY == EVERY - 1:
            largest = max(largest, size_of(load_settings().state))
            if number >= KEPT:
                collect_before(ended[-KEPT - 1])
    one = 2 * len(STAGES[1:]) * BYTES * 1.1
    database = (load_settings().state / "mlflow" / "mlflow.db").stat().st_size
    assert largest < (KEPT + EVERY) * one + promoted * one + database
    assert database < 4_000_000
    expect_whole(house, promoted)


LOAD = {
    "rate": 200.0,
    "p50_ms": 1.0,
    "p99_ms": 2.0,
    "lost": 0,
    "max_rate": {"one_core": 9.0, "all_cores": 9.0},
    "cores": 1,
}
"""What the load test finds: it is not run, because it takes as long as all other stages together."""
TINY_NIGHTS = int(os.environ.get("STILLHOUSE_TEST_NIGHTS", "4"))
"""A hundred take about fifty minutes."""
NIGHT, REST = 3_000_000, 5_000_000
"""Bytes of a night of the tiny recipe, in MLflow and on this host, and of data, caches and database."""


def shorten(recipe: Path) -> None:
    """Leave the two steps that make a student small enough."""
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    content["steps"] = [step for step in content["steps"] if step["method"] in {"distil", "quantize"}]
    content["steps"][0]["distillation"]["training"]["epochs"] = 6
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.mark.long
def test_nights_of_the_tiny_recipe_stay_below_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real nights, each with a seed of its own: the deployment stays small, and every promoted version is whole."""
    monkeypatch.setattr(load_test, "measure", lambda *_: LOAD)
    kept, promoted = min(KEPT, TINY_NIGHTS // 4), 0
    with tiny_house(tmp_path) as house:
        shorten(house.recipe)
        ended = list[float]()
        for number in range(TINY_NIGHTS):
            for stage in stages_of(load_recipe(house.recipe)):
                run_stage(house.recipe, stage.name, f"test/{number}", seed=number + 1)
            if number % (2 * kept) == 1:
                promote(MODEL, ANN)
                promoted += 1
            ended.append(time.time())
            assert size_of(tmp_path) < (2 * kept + promoted) * NIGHT + REST, number
            if number % kept == kept - 1 and number >= kept:
                collect_before(ended[-kept - 1])
        expect_whole(connect(house.settings.tracking_uri), promoted)


def expect_whole(client: MlflowClient, promoted: int) -> None:
    """Verify, serve and roll back to every version that was promoted."""
    versions = client.search_model_versions(f"name = '{PRODUCTION}'")
    assert len(versions) == promoted
    for version in versions:
        assert [fault for _, fault in verify(PRODUCTION, str(version.version))] == [None, None, None]
        assert open_served(version)
    for row in range(2, promoted + 1):
        assert f"{PRODUCTION} version {row - 1} is the champion now" in rollback(MODEL, ANN, row=row)
