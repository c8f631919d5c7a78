"""One nightly run that a person starts: data, stack, trigger, live progress, verdict.

Airflow does the work. This module only triggers and watches the run, so the run continues if the watcher ends.
"""

import json
import sys
import time
from datetime import datetime
from pathlib import Path

from stillhouse.tasks.artifacts.locks import exclusive
from stillhouse.tasks.data.store.build_data import ensure_data
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.follow import Watch
from stillhouse.tasks.local_stack.screen import Screen
from stillhouse.tasks.local_stack.stack_record import Addresses, recall
from stillhouse.tasks.recipe.folders import find_recipe
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.reporting.verdict_table import verdict_table
from stillhouse.tasks.settings import Settings, load_settings

POLL_SECONDS = 1.5
READ_SECONDS = 120.0
"""Maximum seconds for Airflow to read the DAG of a recipe."""
SAME_MOMENT_SECONDS = 3.0
"""If a file changed less than this many seconds before it was read, Airflow may have read the old content."""
SHAPE_OF_DAGS = ("dags/nightly.py", "dags/every_recipe.py", "tasks/pipeline/graph.py", "tasks/recipe/recipe.py")
INTERRUPTED = 130
FIRST_NIGHT = "first_night"
"""Id of the run that a recipe's schedule begins with. Airflow has one run of an id at most."""


def run_nightly(recipe_name: str, *, once: bool) -> int:
    """Run a recipe's DAG once and show it; the exit code is 0 unless a stage failed.

    With `once`, the servers are always stopped afterwards.
    """
    settings, screen = load_settings(), Screen(sys.stdout)
    try:
        with exclusive(settings.state / "run.lock", "`make run`"):
            return _run_and_stop(settings, recipe_name, screen) if once else _run(settings, recipe_name, screen)
    except StillhouseError as error:
        screen.line(f"stopped: {error}")
        return 1
    except KeyboardInterrupt:
        screen.line("interrupted; " + ("the servers were stopped" if once else _how_to_go_on(settings)))
        return INTERRUPTED


def _run_and_stop(settings: Settings, recipe_name: str, screen: Screen) -> int:
    try:
        return _run(settings, recipe_name, screen)
    finally:
        stack.stop(settings, screen.line)


def _run(settings: Settings, recipe_name: str, screen: Screen) -> int:
    path = find_recipe(settings.root / "dags" / "recipes", recipe_name)
    recipe = load_recipe(path)
    dag_id = f"nightly_{recipe.name}"
    screen.line(f"data: looking whether the remote holds this version of {recipe.data.dataset}")
    ensure_data(settings, recipe.data, screen.line)
    addresses = stack.start(settings, screen.line)
    airflow = Airflow(addresses)
    _make_ready(airflow, settings, path, screen)
    asked = time.time()
    run_id = airflow.trigger(dag_id, {})
    screen.line(f"triggered {dag_id}, run {run_id}")
    broken = Watch(airflow, dag_id, run_id, screen).until_end(settings, addresses.mlflow)
    _conclude(settings.runs / "latest", asked, screen)
    screen.plain(f"Airflow  {addresses.airflow}  user {addresses.user}, password {addresses.password}")
    screen.plain(f"MLflow   {addresses.mlflow}  (no login)")
    if broken:
        screen.line(broken)
    return 1 if broken else 0


def start_first_night(settings: Settings, path: Path, screen: Screen) -> str:
    """Start the first run of a recipe's DAG if the stack is up. If the DAG has a run, nothing is started.

    Args:
        settings: the deployment.
        path: the deployed recipe.
        screen: shows what the command waits for.

    Returns:
        One sentence: where to look, or the command that starts the night.

    Raises:
        ServiceError: Airflow cannot read the DAG or does not answer. The same call may be made again.
    """
    dag_id = f"nightly_{path.stem}"
    if set(stack.status(settings).values()) != {"up"}:
        return f"no Airflow is up here; `make run RECIPE={path.stem}` starts it, and with it the first night"
    addresses = stack.addresses(settings)
    airflow = Airflow(addresses)
    if run := airflow.newest_run(dag_id):
        return f"{dag_id} has a run already, so none is started: {_page_of(addresses, dag_id, run)}"
    ensure_data(settings, load_recipe(path).data, screen.line)
    _make_ready(airflow, settings, path, screen)
    began = "has begun" if airflow.trigger_once(dag_id, FIRST_NIGHT) else "had begun already"
    page = _page_of(addresses, dag_id, FIRST_NIGHT)
    return f"the first night {began}: {page} (`stillhouse up` prints the password), then {settings.runs}/latest"


def _page_of(addresses: Addresses, dag_id: str, run_id: str) -> str:
    return f"{addresses.airflow}/dags/{dag_id}/runs/{run_id}"


def _make_ready(airflow: Airflow, settings: Settings, path: Path, screen: Screen) -> None:
    dag_id = f"nightly_{path.stem}"
    await_dag(airflow, dag_id, [path, *(settings.root / name for name in SHAPE_OF_DAGS)], screen)
    airflow.unpause(dag_id)


def await_dag(airflow: Airflow, dag_id: str, files: list[Path], screen: Screen) -> None:
    """Wait until Airflow has read a DAG from the current content of its files.

    Raises:
        ServiceError: the DAG file raises, or was not read within `READ_SECONDS`. The error names the unread files.
    """
    changed, asked = _last_change(files), time.time()
    deadline = time.monotonic() + READ_SECONDS
    while time.monotonic() < deadline:
        dag = airflow.dag(dag_id)
        if dag and not dag["is_stale"] and _read_at(dag) > changed:
            return
        if dag:
            airflow.reparse(dag["file_token"])
        _refuse_import_error(airflow, dag_id, max(changed, asked))
        screen.passing(f"waiting for Airflow to read {dag_id}")
        time.sleep(POLL_SECONDS)
    errors = "; ".join(airflow.import_errors()) or "no import error is known"
    msg = f"Airflow did not read {dag_id} within {READ_SECONDS:.0f} s ({errors}); mend that, `make stop` and run again"
    raise ServiceError(msg)


def _last_change(files: list[Path]) -> float:
    """Return the moment, in epoch seconds, after which a read surely sees the current files.

    If a file's date is in the future, it counts as changed now, because no read can be newer than its date.
    """
    return min(max(file.stat().st_mtime for file in files), time.time()) + SAME_MOMENT_SECONDS


def _refuse_import_error(airflow: Airflow, dag_id: str, since: float) -> None:
    """Stop waiting as soon as Airflow reports an error in the DAG's file, because waiting does not help."""
    kind = dag_id.partition("_")[0]
    for error in airflow.import_errors(since):
        if Path(error.partition(":")[0]).stem == kind:
            msg = f"Airflow cannot read {dag_id} ({error}); mend that and run again"
            raise ServiceError(msg)


def _read_at(dag: dict[str, str]) -> float:
    return datetime.fromisoformat(dag["last_parsed_time"]).timestamp()


def _conclude(latest: Path, asked: float, screen: Screen) -> None:
    summary = latest / "summary.json"
    if not summary.exists() or summary.stat().st_mtime < asked:
        screen.line("no report was written by this run")
        return
    screen.plain(f"\n{verdict_table(json.loads(summary.read_text(encoding='utf-8')))}\n")
    screen.plain(f"Report   {latest.resolve() / 'report.html'}")


def _how_to_go_on(settings: Settings) -> str:
    airflow = recall(settings, "airflow")
    where = f" at {airflow.address}" if airflow else ""
    return f"the servers and a triggered run go on; follow it in Airflow{where}, or end both with `make stop`"
