"""New data wakes the nights of its dataset, which use it; what is refused wakes nobody, and is told."""

import importlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from landing_samples import make_refreshed_house, new_digits, send, send_digits
from report_samples import STARTED

from tasks.data.data_branch import newest_tag, version_of
from tasks.errors import ServiceError
from tasks.recipe import load_recipe
from tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "dags" / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def module(nightly: ModuleType) -> ModuleType:
    """The DAG file of the refreshes."""
    del nightly
    return importlib.import_module("dags.refresh")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose digits lack sixty."""
    return make_refreshed_house(tmp_path / "house", monkeypatch)


@pytest.fixture
def told(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Keep the messages."""
    messages: list[tuple[str, str, str]] = []
    monkeypatch.setattr(module, "tell", lambda *message: messages.append(message))
    return messages


def test_each_dataset_of_pictures_has_one_refresh(module: ModuleType) -> None:
    """Recipes of one dataset share its refresh, and a dataset of recordings has none."""
    dags = {name: dag for name, dag in vars(module).items() if name.startswith("refresh_") and hasattr(dag, "dag_id")}
    assert sorted(dags) == ["refresh_digits", "refresh_emoji", "refresh_emoji_small", "refresh_fashion_mnist"]
    for name, dag in dags.items():
        assert (dag.dag_id, dag.catchup, dag.max_active_runs) == (name, False, 1)
        assert dag.schedule.expression == "*/10 * * * *"
        task, _ = dag.topological_sort()
        assert [each.task_id for each in dag.topological_sort()] == ["refresh", "stale"]
        assert task.pool == "training"
        assert [each.uri for each in task.outlets] == [f"stillhouse://data/{name.removeprefix('refresh_')}"]
        assert (task.retries, task.execution_timeout) == (2, timedelta(minutes=30))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_night_with_an_hour_is_woken_by_its_data_too(nightly: ModuleType, path: Path) -> None:
    """A scheduled recipe has its hour and its dataset's event; one without an hour is only started by hand."""
    recipe, schedule = load_recipe(path), nightly.nightly(path).schedule
    if recipe.schedule is None:
        assert schedule is None
        return
    assert [each.name for each in schedule.asset_condition.objects] == [f"data_{recipe.data.dataset}"]
    assert (schedule.timetable.expression, schedule.timetable.run_immediately) == (recipe.schedule, nightly.LATE)


def test_a_recipe_of_one_revision_is_not_woken(nightly: ModuleType, tmp_path: Path) -> None:
    """Whoever names a revision wants that one, by the hour only."""
    text = (ROOT / "dags" / "recipes" / "image_classification_hour.yaml").read_text(encoding="utf-8")
    pinned = text.replace("  dataset: fashion_mnist", "  dataset: fashion_mnist\n  revision: v1")
    (tmp_path / "image_classification_hour.yaml").write_text(pinned, encoding="utf-8")
    schedule = nightly.nightly(tmp_path / "image_classification_hour.yaml").schedule
    assert schedule.expression == "0 3 * * *"


def event(revision: str, at: datetime = STARTED) -> SimpleNamespace:
    return SimpleNamespace(extra={"revision": revision}, timestamp=at)


@pytest.mark.parametrize(
    ("asked", "events", "revision"),
    [
        (None, [], None),
        (None, [event("data/a"), event("data/c", STARTED + timedelta(hours=1)), event("data/b")], "data/c"),
        ("mine", [event("data/a")], "mine"),
        (None, [SimpleNamespace(extra={}, timestamp=STARTED)], None),
    ],
)
def test_every_stage_uses_what_woke_the_run(
    nightly: ModuleType, monkeypatch: pytest.MonkeyPatch, asked: str | None, events: list[Any], revision: str | None
) -> None:
    """A revision that a person asks for goes before that of the newest event, and that before the recipe's."""
    from tasks import stage

    used: list[tuple[str, str | None]] = []
    monkeypatch.setattr(
        stage, "run_stage", lambda _path, name, _run, revision, force: used.append((name, revision)) or {"f": force}
    )
    context = {
        "dag_run": SimpleNamespace(conf={}, dag_id="nightly_x", run_id="r"),
        "params": {"revision": asked, "force": False},
        "triggering_asset_events": {"data_x": events} if events else {},
    }
    for name in ("pull", "teacher"):
        nightly.StageOperator(task_id=name, recipe_path="x.yaml").execute(context)
    assert used == [("pull", revision), ("teacher", revision)]


class Sent:
    """The events that Airflow has, the newest first."""

    def __init__(self, *revisions: str) -> None:
        """Remember what was sent."""
        self._events = [event(revision) for revision in revisions]

    def ascending(self, *, ascending: bool) -> "Sent":
        assert ascending is False
        return self

    def limit(self, count: int) -> list[Any]:
        return self._events[:count]


def run(module: ModuleType, *sent: str) -> tuple[Callable[[], Any], SimpleNamespace]:
    """Give a call of the task, and where the event's extra would be put."""
    asset, accessor = module.data_of("digits"), SimpleNamespace(extra={})
    context = {"inlet_events": {asset: Sent(*sent)}, "outlet_events": {asset: accessor}}
    operator = module.RefreshOperator(task_id="refresh", dataset="digits")
    return lambda: operator.execute(context), accessor


def test_a_new_version_is_told_and_sent_once(
    module: ModuleType, house: Settings, told: list[tuple[str, str, str]]
) -> None:
    """The event names the tag and the version; the next run finds that it was sent, and is skipped."""
    from airflow.sdk.exceptions import AirflowSkipException

    send_digits(house, "monday", new_digits())
    call, accessor = run(module)
    call()
    tag = str(newest_tag(house.root, "digits"))
    assert accessor.extra == {"revision": tag, "data_version": version_of(tag)}
    assert [message[:2] for message in told] == [("new data", "digits")]
    assert told[0][2].startswith("batch monday: 60 new, 0 known, version ")
    call, accessor = run(module, tag)
    with pytest.raises(AirflowSkipException, match="nothing landed for digits"):
        call()
    assert (accessor.extra, len(told)) == ({}, 1)


def test_a_version_whose_event_was_lost_is_sent(module: ModuleType, house: Settings) -> None:
    """A task that was killed once the batch was accepted sends the event when it is tried again."""
    from tasks.data.refresh import refresh

    send_digits(house, "monday", new_digits())
    assert [each.state for each in refresh(house, "digits", print)] == ["accepted"]
    call, accessor = run(module, "data/digits/older")
    assert call() == accessor.extra
    assert accessor.extra["revision"] == newest_tag(house.root, "digits")


def test_a_batch_in_quarantine_is_told_and_wakes_nobody(
    module: ModuleType, house: Settings, told: list[tuple[str, str, str]]
) -> None:
    """What was refused is told with its name and reason, and the task is skipped, so that no event is sent."""
    from airflow.sdk.exceptions import AirflowSkipException

    send(house, "monday", {}, b"{}")
    call, accessor = run(module)
    with pytest.raises(AirflowSkipException, match=r"monday: quarantined: .*batch\.json does not fit"):
        call()
    assert [message[:2] for message in told] == [("data quarantined", "digits")]
    assert told[0][2].startswith("digits batch monday: batch.json does not fit")
    assert accessor.extra == {}


def test_what_a_retry_may_mend_is_tried_again(
    module: ModuleType, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A landing place that does not answer is worth a retry; a house that cannot make versions is not."""
    from airflow.sdk.exceptions import AirflowFailException

    (house.state / "landing").write_text("in the way")
    call, _ = run(module)
    monkeypatch.setenv("STILLHOUSE_LANDING", "s3://")
    with pytest.raises(ServiceError, match="the landing place s3:// cannot be used"):
        call()
    monkeypatch.setenv("STILLHOUSE_ROOT", str(house.root / "nowhere"))
    with pytest.raises(AirflowFailException, match=r"data\.dvc cannot be read"):
        call()
