"""A worker with other code than the deployment is refused, by the Airflow in use."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packages import python_with

from stillhouse.tasks.artifacts.deployed_code import VARIABLE, describe_code
from stillhouse.tasks.errors import ServiceError

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("dags", "models", "tasks")
DESCRIBE = (
    "import json; from stillhouse.tasks.artifacts.deployed_code import describe_code as d; print(json.dumps(d()))"
)
PROBE = """
from airflow.sdk import DAG
from stillhouse.dags.worker import WorkerOperator


class Work(WorkerOperator):
    def execute(self, context):
        self.log.info("the work was done")


with DAG("probe") as dag:
    Work(task_id="work")
"""
PARSE = """
import logging, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.execution_time.task_runner import _airflow_parsing_context_manager

logging.basicConfig(level=logging.ERROR)
path, dag, task = sys.argv[1:]
with _airflow_parsing_context_manager(dag_id=dag, task_id=task):
    found = BundleDagBag(path, bundle_path=Path(path).parent, safe_mode=False, load_op_links=False).dags.get(dag)
print(sorted(found.task_dict) if found else None)
"""


@pytest.fixture(scope="module")
def worker(nightly: ModuleType) -> ModuleType:
    """The module of the operators' base, with an Airflow home of its own."""
    del nightly
    from stillhouse.dags import worker

    return worker


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of an Airflow with a database and one DAG, which states this code as the deployment's."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "probe.py").write_text(PROBE, encoding="utf-8")
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__WORKERS__MISSING_DAG_RETRIES": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    subprocess.run(
        [sys.executable, str(ROOT / "docker" / "entry" / "prepare.py"), "code"],
        env=environment | {"PYTHONPATH": str(ROOT / "src")},
        check=True,
        capture_output=True,
    )
    return environment


def copy_of_code(folder: Path) -> Path:
    """Copy our sources to another place, as an image has them, and return its import path."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    package = folder / "src" / "stillhouse"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "stillhouse" / "__init__.py", package)
    for name in FOLDERS:
        (package / name).symlink_to(folder / name)
    return package.parent


def run_probe(airflow: Mapping[str, str], code: Path) -> subprocess.CompletedProcess[str]:
    """Run the task on a worker whose code lies there."""
    return subprocess.run(
        ["airflow", "dags", "test", "probe"],
        env={**airflow, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_airflow_runs_a_task_only_on_a_worker_with_the_code_of_the_deployment(
    airflow: Mapping[str, str], tmp_path: Path
) -> None:
    """The same code at another place works; after one changed line the task fails before its work, with a reason."""
    code = copy_of_code(tmp_path)
    done = run_probe(airflow, code)
    assert "the work was done" in done.stdout + done.stderr
    with (tmp_path / "models" / "errors.py").open("a", encoding="utf-8") as stream:
        stream.write("# another version\n")
    refused = run_probe(airflow, code)
    said = refused.stdout + refused.stderr
    assert "the work was done" not in said
    assert "has other code than this deployment (Stillhouse: source-" in said
    assert "state=failed" in said


def described(python: Path, code: Path) -> dict[str, str]:
    command = [str(python), "-c", DESCRIBE]
    environment = os.environ | {"PYTHONPATH": str(code)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def refusal(worker: ModuleType, monkeypatch: pytest.MonkeyPatch, deployed: object, waits: int = 3) -> str:
    """What a task says on this worker, after it has waited some times."""
    deployed = deployed if isinstance(deployed, str) else json.dumps(deployed)
    monkeypatch.setattr(worker.Variable, "get", lambda name, default: deployed if name == VARIABLE else default)
    with pytest.raises(ServiceError) as caught:
        worker.WorkerOperator(task_id="x").pre_execute({"task_reschedule_count": waits})
    return str(caught.value)


def test_a_worker_without_a_user_s_package_is_refused_and_the_package_is_named(
    worker: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The deployment has the toy package and this worker lacks it; the sentence names it with its version."""
    deployed = described(python_with(ROOT / "tests" / "toy", tmp_path), ROOT / "src")
    assert {**describe_code(), "package stillhouse-toy": deployed["package stillhouse-toy"]} == deployed
    said = refusal(worker, monkeypatch, deployed)
    assert "(package stillhouse-toy: not installed instead of 1.0 (files " in said
    assert said.endswith("start that worker again from the image of the deployment, with the same packages")


def test_each_difference_is_named_and_the_sources_come_first(
    worker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with another release, another numpy and a further library has all three named."""
    here = describe_code()
    deployed = {**here, "Stillhouse": "source-0", "numpy": "1.0"} | {"zstd": "2"}
    said = refusal(worker, monkeypatch, deployed)
    sources, numpy = f"Stillhouse: {here['Stillhouse']} instead of source-0", f"numpy: {here['numpy']} instead of 1.0"
    assert f"({sources}; {numpy}; zstd: not installed instead of 2)" in said


@pytest.mark.parametrize("deployed", ["", "x", "1", "[1]", "null"])
def test_a_variable_that_describes_no_code_is_named(
    worker: ModuleType, monkeypatch: pytest.MonkeyPatch, deployed: str
) -> None:
    """If somebody edits the variable, the sentence has its name and the command that sets it."""
    said = refusal(worker, monkeypatch, deployed)
    assert said == (
        "Airflow's variable stillhouse_code does not describe any code; run `prepare.py code` in the deployment"
    )


def test_a_refused_task_first_waits_for_another_worker(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task waits three times for a minute, which is no retry, and then fails."""
    from airflow.sdk.exceptions import AirflowRescheduleException

    monkeypatch.setattr(worker.Variable, "get", lambda *_, **__: '{"Stillhouse": "source-0"}')
    task = worker.WorkerOperator(task_id="x")
    for waits in (0, 1, 2):
        with pytest.raises(AirflowRescheduleException):
            task.pre_execute({"task_reschedule_count": waits})
    with pytest.raises(ServiceError, match="has other code"):
        task.pre_execute({"task_reschedule_count": 3})


def test_without_a_stated_code_nothing_is_compared(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the embedded stack, whose variable is not set, every code works."""
    compared: list[str] = []
    monkeypatch.setattr(worker, "expect_code", compared.append)
    monkeypatch.setattr(worker.Variable, "get", lambda _, default: default)
    worker.WorkerOperator(task_id="x").pre_execute({})
    assert compared == []


def test_every_operator_of_ours_compares_the_code(worker: ModuleType, nightly: ModuleType) -> None:
    """Each task of ours is a WorkerOperator, except the question to a person and the start of another DAG."""
    from stillhouse.dags import ingest, promotion, recompress, retention, rollback
    from stillhouse.tasks.recipe.recipe import load_recipe

    path = ROOT / "dags" / "recipes" / "seed_digits.yaml"
    recipe = load_recipe(path)
    dags = [nightly.nightly(path), promotion.promotion(path, recipe), rollback.rollback_dag(recipe)]
    dags += [ingest.ingest_dag("digits"), recompress.recompress, retention.gc]
    others = {
        f"{dag.dag_id}.{task.task_id}"
        for dag in dags
        for task in dag.tasks
        if not isinstance(task, worker.WorkerOperator)
    }
    assert others == {"promotion_seed_digits.approve", "recompress.night"}


@pytest.mark.parametrize("kind", ["nightly", "promotion"])
def test_the_log_of_a_task_says_why_this_worker_lacks_it(tmp_path: Path, kind: str) -> None:
    """If a worker lacks a recipe's package, the task's log names the worker, the recipe and the missing workload."""
    recipe: dict[str, Any] = yaml.safe_load((ROOT / "dags" / "recipes" / "seed_digits.yaml").read_text("utf-8"))
    recipe |= {"name": "theirs", "workload": "progression"}
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "PYTHONPATH": str(ROOT / "src"),
        "STILLHOUSE_RECIPES": str(tmp_path),
    }
    command = [sys.executable, "-c", PARSE, str(ROOT / "dags" / f"{kind}.py"), f"{kind}_theirs", "pull"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "cannot use the recipe" in line]
    assert len(lines) == 1, done.stdout + done.stderr
    assert "theirs.yaml: " in lines[0]
    assert "there is no workload 'progression'" in lines[0]
    assert "give it the image and the packages of the deployment" in lines[0]
    assert "pull" not in done.stdout.splitlines()[-1]
