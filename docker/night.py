"""Inside a worker, `python - RECIPE < night.py`: run a night, check its artifacts, and promote its student."""

import shutil
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import boto3
from mlflow.tracking import MlflowClient

from stillhouse.tasks.data.store.build_data import ensure_data
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.stack_record import Addresses
from stillhouse.tasks.recipe.folders import find_recipe
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.connection import connect

SECONDS = 3600.0
"""Maximum seconds of a night."""
PASSWORD = Path("/run/secrets/airflow_password")


def main(recipe_name: str) -> None:
    """Run the night, then check and promote."""
    settings = load_settings()
    recipe = load_recipe(find_recipe(settings.root / "dags" / "recipes", recipe_name))
    publish_data(settings, recipe)
    airflow = Airflow(Addresses("http://api-server:8080", settings.tracking_uri, "admin", PASSWORD.read_text().strip()))
    begin = time.monotonic()
    state, tasks = run(airflow, f"nightly_{recipe.name}")
    for task in tasks:
        say(f"{task['task_id']:20} {task['state']!s:8} queue {task['queue']:8} on {task['hostname']}")
    say(f"the night ended as {state} after {time.monotonic() - begin:.0f} s")
    if state != "success":
        sys.exit(1)
    check(connect(settings.tracking_uri), recipe.name, tasks)
    say(promote(recipe.name, Decision("stack-test", "the stack was tried")))


def publish_data(settings: Settings, recipe: Recipe) -> None:
    """Build the recipe's data in a copy of the checkout, which is read-only here, and push the data to S3."""
    root = settings.state / "build"
    shutil.copytree(settings.root / ".dvc", root / ".dvc", dirs_exist_ok=True)
    shutil.copy(settings.root / "data.dvc", root)
    ensure_data(replace(settings, root=root), recipe.data, say)


def run(airflow: Airflow, dag_id: str) -> tuple[str, list[dict[str, object]]]:
    """Trigger a DAG and wait until its run ends. Returns the run's state and its tasks."""
    deadline = time.monotonic() + SECONDS
    while airflow.dag(dag_id) is None:
        expect_time(deadline, f"Airflow did not read {dag_id}")
        time.sleep(2)
    airflow.unpause(dag_id)
    run_id = airflow.trigger(dag_id, {})
    say(f"triggered {dag_id}, run {run_id}")
    while (state := airflow.run_state(dag_id, run_id)) not in {"success", "failed"}:
        expect_time(deadline, f"{dag_id} is {state}")
        time.sleep(3)
    return state, airflow.tasks(dag_id, run_id)


def expect_time(deadline: float, what: str) -> None:
    """End with exit code 1 if the time is over."""
    if time.monotonic() > deadline:
        sys.exit(f"{what} after {SECONDS:.0f} s; look at the logs of the scheduler and of the workers")


def check(client: MlflowClient, recipe: str, tasks: list[dict[str, object]]) -> None:
    """Check that a version is registered, that S3 has its artifacts, and that two hosts shared the work."""
    version = client.get_model_version_by_alias(recipe, "candidate")
    objects = boto3.client("s3").list_objects_v2(Bucket="mlflow")["Contents"]
    say(f"{recipe} version {version.version} is {version.status}; the bucket mlflow has {len(objects)} objects")
    hosts = Counter(str(task["hostname"]) for task in tasks if task["hostname"])
    say(f"stages by host: {dict(hosts)}")
    if len(hosts) < 2:  # noqa: PLR2004 - the point of the stack
        sys.exit("one host did all the work; look at the queues of the workers")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - a program and a recipe
        sys.exit(__doc__)
    main(sys.argv[1])
