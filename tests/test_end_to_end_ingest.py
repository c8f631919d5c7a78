"""Real digits land under a real scheduler: a version, its event, and a night that was woken by it and uses it."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from data_samples import git
from inbox_samples import make_house_with_inbox, new_digits, send, send_digits, tags

from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.settings import Settings, load_settings

pytestmark = [pytest.mark.serial, pytest.mark.long]

ROOT = Path(__file__).resolve().parent.parent
INGEST, NIGHT = "ingest_digits", "nightly_seed_digits"
PATIENCE_SECONDS = 300.0
CODE = ("dags/", "tasks/", "models/", "src/")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Make a checkout of its own, for the branch `data` is the checkout's, with one recipe that has an hour."""
    with pytest.MonkeyPatch.context() as patched:
        root = tmp_path_factory.mktemp("house") / "checkout"
        make_house_with_inbox(root, patched)
        tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
        for name in tracked.stdout.splitlines():
            if name.startswith(CODE) and (not name.endswith(".yaml") or "seed_dig" in name):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name, follow_symlinks=False)
        recipe = root / "dags" / "recipes" / "seed_digits.yaml"
        recipe.write_text(recipe.read_text().replace("schedule: null", 'schedule: "0 4 1 1 *"'))
        git(root, "add", ".")
        git(root, "commit", "--quiet", "--message", "code")
        yield load_settings()
        stack.stop(load_settings(), print)


def awaited(found: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := found()):
        assert time.monotonic() < deadline
        time.sleep(1)
    return answer


def state_of(airflow: Airflow, dag: str, run: str, task: str) -> str:
    """How a task stands."""
    return str(next(each["state"] for each in airflow.tasks(dag, run) if each["task_id"] == task))


def ingest_all(airflow: Airflow) -> str:
    """Ingest now; gives the state in which the task ended."""
    run = airflow.trigger(INGEST, {})
    awaited(lambda: airflow.run_state(INGEST, run) in {"success", "failed"})
    return state_of(airflow, INGEST, run, "ingest")


def test_what_landed_wakes_a_night_that_uses_it(house: Settings) -> None:
    """A sound batch wakes one night, whose first stage pulls the new version; a poor one and nothing wake none."""
    airflow = Airflow(stack.start(house, print))
    awaited(lambda: airflow.dag(INGEST) and airflow.dag(NIGHT))
    airflow.unpause(NIGHT)
    send_digits(house, "monday", new_digits())
    assert ingest_all(airflow) in {"success", "skipped"}  # the clock may have been faster
    (run,) = awaited(lambda: airflow.unfinished_runs(NIGHT))
    assert run.startswith("asset_triggered__")
    awaited(lambda: state_of(airflow, NIGHT, run, "pull") == "success")
    pulled = house.state / "data"
    rows = [len(list(folder.glob("train-*.parquet"))) for folder in pulled.iterdir() if folder.is_dir()]
    assert sorted(rows) == [1, 2]  # the version before, which the ingestion read, and the new one
    send(house, "tuesday", {}, b"{}")
    assert ingest_all(airflow) == "skipped"
    assert ingest_all(airflow) == "skipped"
    assert airflow.unfinished_runs(NIGHT) in ([run], [])
    assert len(tags(house)) == 1
