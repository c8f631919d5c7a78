"""In a container of the stack, `python - COMMAND ... < night.py`: run a night, look at it, and promote its student.

`run RECIPE` builds the data, runs a night, checks it, and promotes its student.
`begin RECIPE` forgets the versions of RECIPE, starts a night that redoes every stage, and prints the id of its run.
`await RECIPE RUN STAGE` waits until STAGE is in the middle of a training, and prints the name of its host.
`end RECIPE RUN` waits for the end, and prints the digest of the one version that the night registered.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.data.store.build_data import ensure_data
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.stack_record import Addresses
from stillhouse.tasks.recipe.folders import find_recipe
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import find_newest_of_each, find_nightly

SECONDS = 3600.0
"""Maximum seconds of a night."""
PASSWORD = Path("/run/secrets/airflow_password")
FINISHED = {"success", "failed"}


def run(recipe: Recipe) -> None:
    """Run the night, then check and promote."""
    settings, airflow = load_settings(), log_in()
    publish_data(settings, recipe)
    begun = time.monotonic()
    run_id = start(airflow, dag_of(recipe), {})
    state = wait_for_end(airflow, recipe, run_id)
    tasks = airflow.tasks(dag_of(recipe), run_id)
    for task in tasks:
        say(f"{task['task_id']:20} {task['state']!s:8} queue {task['queue']:8} on {task['hostname']}")
    say(f"the night ended as {state} after {time.monotonic() - begun:.0f} s")
    if state != "success":
        sys.exit(1)
    check_places(connect(settings.tracking_uri), recipe.name, tasks)
    check_login(settings.tracking_uri)
    say(promote(recipe.name, Decision("stack-test", "the stack was tried")))


def publish_data(settings: Settings, recipe: Recipe) -> None:
    """Build the recipe's data in a copy of the checkout, which is read-only here, and push the data to S3."""
    root = settings.state / "build"
    shutil.copytree(settings.root / ".dvc", root / ".dvc", dirs_exist_ok=True)
    shutil.copy(settings.root / "data.dvc", root)
    ensure_data(replace(settings, root=root), recipe.data, say)


def check_places(client: MlflowClient, recipe: str, tasks: list[dict[str, Any]]) -> None:
    """Check that a version is registered, that S3 has its artifacts, and that several workers shared the work."""
    version = client.get_model_version_by_alias(recipe, "candidate")
    objects = boto3.client("s3").list_objects_v2(Bucket="mlflow")["Contents"]
    say(f"{recipe} version {version.version} is {version.status}; the bucket mlflow has {len(objects)} objects")
    hosts = Counter(str(task["hostname"]) for task in tasks if task["hostname"])
    say(f"stages by worker: {dict(hosts)}")
    if len(hosts) < 2:  # noqa: PLR2004 - the point of the stack
        sys.exit("one worker did all the work; look at the queues of the workers")


def begin(recipe: Recipe) -> None:
    """Delete the recipe's versions, so that the night must register one. Then start the night, and print its run."""
    client = connect(load_settings().tracking_uri)
    for version in client.search_model_versions(f"name = '{recipe.name}'"):
        client.delete_model_version(recipe.name, version.version)
    say(start(log_in(), dag_of(recipe), {"force": True}))


def wait_for_training(recipe: Recipe, run_id: str, stage: str) -> None:
    """Wait until a stage has trained an epoch. Print the host name of its worker."""
    airflow, client = log_in(), connect(load_settings().tracking_uri)

    def trains() -> str | None:
        nightly = find_nightly(client, recipe.name, f"{dag_of(recipe)}/{run_id}")
        run = find_newest_of_each(nightly.children()).get(stage) if nightly else None
        return run.data.tags.get("stillhouse.progress") if run and run.info.status == "RUNNING" else None

    wait(lambda: (trains() or "").startswith("epoch"), f"{stage} did not begin to train")
    say(next(str(each["hostname"]) for each in airflow.tasks(dag_of(recipe), run_id) if each["task_id"] == stage))


def end(recipe: Recipe, run_id: str) -> None:
    """Wait for the end of a night, and check what it left. Print its facts in one line."""
    airflow, client = log_in(), connect(load_settings().tracking_uri)
    begun = time.monotonic()
    state = wait_for_end(airflow, recipe, run_id)
    tasks = airflow.tasks(dag_of(recipe), run_id)
    again = [f"{each['task_id']} x{each['try_number']}" for each in tasks if each["try_number"] > 1]
    versions = client.search_model_versions(f"name = '{recipe.name}'")
    nightly = find_nightly(client, recipe.name, f"{dag_of(recipe)}/{run_id}")
    children = nightly.children() if nightly else []
    unfinished = sum(child.info.status == "RUNNING" for child in children)
    digests = [version.tags["stillhouse.digest"][:16] for version in versions]
    say(f"{state} {','.join(digests)} after {time.monotonic() - begun:.0f} s; again: {', '.join(again) or 'none'}")
    if state != "success" or len(versions) != 1 or unfinished:
        sys.exit(f"expected one version and no unfinished stage; found {len(versions)} and {unfinished}")


def start(airflow: Airflow, dag_id: str, conf: dict[str, Any]) -> str:
    """Start a run of a DAG, as soon as Airflow has read the DAG."""
    wait(lambda: airflow.dag(dag_id) is not None, f"Airflow did not read {dag_id}")
    airflow.unpause(dag_id)
    return airflow.trigger(dag_id, conf)


def wait_for_end(airflow: Airflow, recipe: Recipe, run_id: str) -> str:
    """Wait until a run ends. Returns its state."""
    wait(lambda: airflow.run_state(dag_of(recipe), run_id) in FINISHED, f"run {run_id} did not end")
    return airflow.run_state(dag_of(recipe), run_id)


def wait(done: Callable[[], bool], what: str) -> None:
    """Ask until the answer is yes. A server may be down meanwhile."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if done():
                return
        except (ServiceError, MlflowException):
            pass
        time.sleep(2)
    sys.exit(f"{what} within {SECONDS:.0f} s; look at the logs of the scheduler and of the workers")


def log_in() -> Airflow:
    """Log in to the stack's Airflow, as soon as it answers."""
    password = PASSWORD.read_text(encoding="ascii").strip()
    addresses = Addresses("http://api-server:8080", load_settings().tracking_uri, "admin", password)
    found: list[Airflow] = []
    wait(lambda: found.append(Airflow(addresses)) is None, "Airflow did not answer")
    return found[0]


def dag_of(recipe: Recipe) -> str:
    """Return the id of a recipe's nightly DAG."""
    return f"nightly_{recipe.name}"


def check_login(tracking_uri: str) -> None:
    """Check that MLflow refuses a request without a name and a password."""
    status = requests.post(f"{tracking_uri}/api/2.0/mlflow/experiments/search", json={}, timeout=30).status_code
    if status != requests.codes.unauthorized:
        sys.exit(f"MLflow answered {status} without a login; look at the command of the service mlflow")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


COMMANDS: dict[str, Callable[..., None]] = {"run": run, "begin": begin, "await": wait_for_training, "end": end}

if __name__ == "__main__":
    match sys.argv[1:]:
        case [command, name, *more] if command in COMMANDS:
            COMMANDS[command](load_recipe(find_recipe(load_settings().root / "dags" / "recipes", name)), *more)
        case _:
            sys.exit(__doc__)
