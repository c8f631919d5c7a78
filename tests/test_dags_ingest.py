"""New data wakes the nights of its dataset, which use it; what is refused wakes nobody, and is told."""

import importlib
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from inbox_samples import make_house_with_inbox, new_digits, send, send_digits
from mlflow.exceptions import MlflowException
from report_samples import STARTED

from stillhouse.tasks.data.ingest.ingest import ingest
from stillhouse.tasks.data.ingest.ingest_state import is_told, list_told, note_going, note_told
from stillhouse.tasks.data.store.data_branch import find_newest_tag, version_of
from stillhouse.tasks.errors import DataError, ServiceError
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "dags" / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def module(nightly: ModuleType) -> ModuleType:
    """The DAG file of the ingestions."""
    del nightly
    return importlib.import_module("stillhouse.dags.ingest")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose digits lack sixty."""
    return make_house_with_inbox(tmp_path / "house", monkeypatch)


@pytest.fixture
def told(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Keep the messages."""
    messages: list[tuple[str, str, str]] = []
    monkeypatch.setattr(module, "tell", lambda *message: messages.append(message))
    return messages


def test_each_dataset_of_pictures_has_one_ingest(module: ModuleType) -> None:
    """Recipes of one dataset share its ingest, and a dataset of recordings has none."""
    dags = {name: dag for name, dag in vars(module).items() if name.startswith("ingest_") and hasattr(dag, "dag_id")}
    assert sorted(dags) == ["ingest_digits", "ingest_emoji", "ingest_emoji_small", "ingest_fashion_mnist"]
    for name, dag in dags.items():
        assert (dag.dag_id, dag.catchup, dag.max_active_runs) == (name, False, 1)
        assert dag.schedule.expression == "*/10 * * * *"
        task, _ = dag.topological_sort()
        assert [each.task_id for each in dag.topological_sort()] == ["ingest", "stale"]
        assert task.pool == "measure"
        assert [each.uri for each in task.outlets] == [f"stillhouse://data/{name.removeprefix('ingest_')}"]
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


@pytest.mark.parametrize("pin", ["revision: v1", f'sha256: "{"5" * 64}"'])
def test_a_recipe_of_one_data_version_is_not_woken(nightly: ModuleType, tmp_path: Path, pin: str) -> None:
    """Whoever names a revision, or data of this host alone, wants that one, by the hour only."""
    text = (ROOT / "dags" / "recipes" / "image_classification_hour.yaml").read_text(encoding="utf-8")
    pinned = text.replace("  dataset: fashion_mnist", f"  dataset: fashion_mnist\n  {pin}")
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
    from stillhouse.tasks.pipeline import run_stage as stage

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


def run(module: ModuleType, *sent: str, attempt: int = 1) -> tuple[Callable[[], Any], SimpleNamespace]:
    """Give a call of the task, and where the event's extra would be put; the third attempt is the last."""
    asset, accessor = module.data_of("digits"), SimpleNamespace(extra={})
    ti = SimpleNamespace(try_number=attempt, max_tries=2)
    context = {"inlet_events": {asset: Sent(*sent)}, "outlet_events": {asset: accessor}, "ti": ti}
    operator = module.IngestOperator(task_id="ingest", dataset="digits")
    return lambda: operator.execute(context), accessor


def test_a_new_version_is_told_and_sent_once(
    module: ModuleType, house: Settings, told: list[tuple[str, str, str]]
) -> None:
    """The event names the tag and the version; the next run finds that it was sent, and is skipped."""
    send_digits(house, "monday", new_digits())
    call, accessor = run(module)
    call()
    tag = str(find_newest_tag(house.root, "digits"))
    assert accessor.extra == {"revision": tag, "data_version": version_of(tag)}
    assert [message[:2] for message in told] == [("new data", "digits")]
    assert told[0][2].startswith("batch monday: 60 new, 0 known, version ")
    call, accessor = run(module, tag)
    with pytest.raises(module.AirflowSkipException, match="nothing landed for digits"):
        call()
    assert (accessor.extra, len(told)) == ({}, 1)


def test_a_version_whose_event_was_lost_is_sent(module: ModuleType, house: Settings) -> None:
    """A task that was killed once the batch was accepted sends the event when it is tried again."""
    send_digits(house, "monday", new_digits())
    assert [each.state for each in ingest(house, "digits", print)] == ["accepted"]
    call, accessor = run(module, "data/digits/older")
    assert call() == accessor.extra
    assert accessor.extra["revision"] == find_newest_tag(house.root, "digits")


def test_a_batch_in_quarantine_is_told_and_wakes_nobody(
    module: ModuleType, house: Settings, told: list[tuple[str, str, str]]
) -> None:
    """What was refused is told with its name and reason, and the task is skipped, so that no event is sent."""
    send(house, "monday", {}, b"{}")
    call, accessor = run(module)
    with pytest.raises(module.AirflowSkipException, match=r"monday: quarantined: .*batch\.json does not fit"):
        call()
    assert [message[:2] for message in told] == [("data quarantined", "digits")]
    assert told[0][2].startswith("digits batch monday: batch.json does not fit")
    assert accessor.extra == {}


def test_what_a_retry_may_mend_is_tried_again(
    module: ModuleType, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A inbox place that does not answer is worth a retry; a house that cannot make versions is not."""
    (house.state / "inbox").write_text("in the way")
    call, _ = run(module)
    monkeypatch.setenv("STILLHOUSE_INBOX", "s3://")
    with pytest.raises(ServiceError, match="the inbox place s3:// cannot be used"):
        call()
    monkeypatch.setenv("STILLHOUSE_ROOT", str(house.root / "nowhere"))
    with pytest.raises(module.AirflowFailException, match=r"data\.dvc cannot be read"):
        call()


def fail(error: BaseException) -> Callable[..., Any]:
    def failing(*_: object) -> Any:
        raise error

    return failing


STOPS = {
    "parted": DataError("HEAD and the branch data have parted; merge them"),
    "remote away": ServiceError("the DVC remote s3://x cannot be used (after 3.2 s at 0x7f01); check that it is up"),
    "a fault of ours": KeyError("labels"),
    "MLflow away": MlflowException("API request failed with HTTPConnectionPool(port=5000)"),
    "git hangs": subprocess.TimeoutExpired(["git", "log"], 60),
    "disk full": OSError(28, "No space left on device"),
    "too slow": None,
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=list(STOPS))
@pytest.mark.usefixtures("house")
def test_an_ingestion_that_cannot_go_on_is_told_once_and_red_once(
    module: ModuleType, told: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch, stop: Exception | None
) -> None:
    """One message with the reason and one red run; then skipped runs without a message, and one when it goes on."""
    operator = module.IngestOperator
    with monkeypatch.context() as broken:
        broken.setattr(operator, "_ingest_and_tell", fail(stop or module.AirflowTaskTimeout("Timeout, PID: 4711")))
        with pytest.raises(module.AirflowFailException):
            run(module, attempt=3)[0]()
        for _ in range(3):
            with pytest.raises(module.AirflowSkipException, match=r"^still stopped, as was told: "):
                run(module)[0]()
    assert [message[:2] for message in told] == [("ingestion stopped", "digits")]
    assert told[0][2].partition(";")[2], "the message has no remedy"
    for _ in range(2):
        with pytest.raises(module.AirflowSkipException, match="nothing landed for digits"):
            run(module)[0]()
    assert [message[:2] for message in told[1:]] == [("ingestion goes on", "digits")]
    assert told[1][2] == f"no longer stopped by: {told[0][2]}"


@pytest.mark.parametrize(
    ("first", "then", "messages"),
    [
        ("the remote does not answer after 3.2 s; start it", "the remote does not answer after 4.1 s; start it", 1),
        ("<pool at 0x7fa1> is away; start it", "<pool at 0x81b2> is away; start it", 1),
        ("the remote is away; start it", "the remote refuses the key; mend it", 2),
    ],
)
@pytest.mark.usefixtures("house")
def test_only_another_reason_is_told_again(  # noqa: PLR0913, PLR0917 - fixtures and a row
    module: ModuleType,
    told: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    then: str,
    messages: int,
) -> None:
    """Times and addresses do not make a reason another one; reasons that take turns are told once each."""
    for reason in (first, then, first, then):
        monkeypatch.setattr(module.IngestOperator, "_ingest_and_tell", fail(ServiceError(reason)))
        with pytest.raises((module.AirflowFailException, module.AirflowSkipException)):
            run(module, attempt=3)[0]()
    assert len(told) == messages


@pytest.mark.usefixtures("house")
def test_a_hiccup_that_a_retry_mends_is_not_told(
    module: ModuleType, told: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a retry may mend is tried again first, and told by the last attempt only."""
    monkeypatch.setattr(module.IngestOperator, "_ingest_and_tell", fail(ServiceError("away; start it")))
    for attempt in (1, 2):
        with pytest.raises(ServiceError):
            run(module, attempt=attempt)[0]()
    assert told == []


def test_what_was_accepted_before_the_stop_wakes_its_nights(
    module: ModuleType, house: Settings, told: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that stops the ingestion does not hold back the event of the batch before it."""
    send_digits(house, "monday", new_digits())
    list(ingest(house, "digits", print))
    monkeypatch.setattr(
        module.IngestOperator, "_ingest_and_tell", fail(DataError("HEAD and the branch data have parted"))
    )
    call, accessor = run(module)
    assert call() == accessor.extra == {"revision": find_newest_tag(house.root, "digits"), "data_version": ANY}
    assert [message[:2] for message in told] == [("ingestion stopped", "digits")]


def test_a_stop_that_was_noted_by_half_is_told_again(tmp_path: Path) -> None:
    """A note that a kill left unreadable counts as no note."""
    settings = Settings(tmp_path, tmp_path, tmp_path, "")
    (tmp_path / "ingest").mkdir()
    for content in ("[", "", "7", "null"):
        (tmp_path / "ingest" / "digits.stopped.json").write_text(content)
        assert not is_told(settings, "digits", "away")
    note_told(settings, "digits", "away")
    assert is_told(settings, "digits", "away")
    note_going(settings, "digits")
    assert list_told(settings, "digits") == []
