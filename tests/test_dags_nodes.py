"""The tasks of further hosts, in the graph and run by the Airflow in use."""

import importlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.recipe.recipe import load_recipe

RECIPE = Path(__file__).resolve().parent.parent / "dags" / "recipes" / "seed_digits.yaml"
NIGHT = """
import sys
from datetime import timedelta
from airflow.sdk import DAG, BaseOperator, TriggerRule
from stillhouse.dags.nodes import NodeSensor

metrics = {metrics}

class Stage(BaseOperator):
    def execute(self, context):
        if metrics is None:
            raise ValueError("broken")
        return metrics

class Report(BaseOperator):
    def execute(self, context):
        return "written"

with DAG("night", schedule=None, default_args={{"retries": 0}}) as dag:
    stage, report = Stage(task_id="teacher"), Report(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    node = NodeSensor(recipe_path="unread.yaml", stage="teacher", node=1)
    _ = [stage, node] >> report

if __name__ == "__main__":
    import json
    run = dag.test()
    found = {{each.task_id: each.state for each in run.get_task_instances()}}
    print("FOUND", json.dumps({{"run": run.state, **found}}))
"""
"""A night whose teacher has given its metrics before the task of the further host looks."""


def recipe_on_hosts(folder: Path, teacher: int, student: int) -> Path:
    """Write the seed recipe with trainings on several hosts."""
    content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    content["teacher"]["training"]["nodes"] = teacher
    content["steps"][0]["distillation"]["training"]["nodes"] = student
    path = folder / RECIPE.name
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_each_further_host_has_a_task_beside_its_stage(nightly: ModuleType, tmp_path: Path) -> None:
    """The task has the stage's upstream, queue and pool. Only the report waits for it."""
    path = recipe_on_hosts(tmp_path, teacher=3, student=2)
    dag, stages = nightly.nightly(path), {stage.name: stage for stage in stages_of(load_recipe(path))}
    nodes = {task.task_id: task for task in dag.tasks if task.task_id not in stages}
    distil = next(name for name, stage in stages.items() if stage.kind == "compress")
    assert set(nodes) == {"teacher__node_1", "teacher__node_2", f"{distil}__node_1"}
    for name, node in nodes.items():
        stage = dag.get_task(name.split("__")[0])
        assert node.upstream_task_ids == stage.upstream_task_ids
        assert node.downstream_task_ids == {"report"}
        assert (node.queue, node.pool) == (stage.queue, stage.pool) == ("train", "train")
        assert (node.retries, node.execution_timeout) == (4, timedelta(hours=6))
        assert node.owner == stage.owner
    assert not any(nodes.keys() & dag.get_task(name).upstream_task_ids for name in stages if name != "report")


def test_a_waiting_host_holds_no_slot(nightly: ModuleType, tmp_path: Path) -> None:
    """Airflow's scheduler sees a task that waits outside the pool between two looks."""
    from airflow.serialization.serialized_objects import DagSerialization

    dag = nightly.nightly(recipe_on_hosts(tmp_path, teacher=2, student=1))
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert read.get_task("teacher__node_1").reschedule is True


@pytest.mark.parametrize(
    ("state", "error", "raised"),
    [
        ("running", None, None),
        ("queued", StillhouseError("never raised"), None),
        ("running", ServiceError("MLflow is away"), "ServiceError"),
        ("running", StillhouseError("other code"), "AirflowFailException"),
    ],
)
def test_a_further_host_helps_a_stage_that_runs(
    nightly: ModuleType, monkeypatch: pytest.MonkeyPatch, state: str, error: Exception | None, raised: str | None
) -> None:
    """The task looks again until the stage has ended. It is tried again if a server is away, and only then."""
    del nightly
    helped = list[tuple[object, ...]]()

    def help_train(*given: object) -> bool:
        helped.append(given)
        if error:
            raise error
        return True

    monkeypatch.setattr("stillhouse.tasks.distributed.node.help_train", help_train)
    sensor = importlib.import_module("stillhouse.dags.nodes").NodeSensor(recipe_path="a.yaml", stage="teacher", node=2)
    task = SimpleNamespace(get_task_states=lambda *_, **__: {"r": {"teacher": state}})
    context = {"dag_run": SimpleNamespace(dag_id="nightly_x", run_id="r"), "ti": task}
    if raised:
        with pytest.raises(Exception, match=str(error)) as found:
            sensor.poke(context)
        assert type(found.value).__name__ == raised
    else:
        assert sensor.poke(context) is False
    assert helped == ([(Path("a.yaml"), "teacher", 2, "nightly_x/r")] if state == "running" else [])


@pytest.mark.long
@pytest.mark.parametrize(
    ("metrics", "teacher", "node", "run"),
    [
        ({"reused": 1.0}, "success", "skipped", "success"),
        ({"reused": 0.0}, "success", "success", "success"),
        (None, "failed", "skipped", "success"),
    ],
)
def test_a_further_host_ends_with_its_stage(
    tmp_path: Path, metrics: dict[str, float] | None, teacher: str, node: str, run: str
) -> None:
    """Airflow skips the task if the stage reused earlier work or failed, and the run goes on to its report."""
    home = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    home |= {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"), "PYTHONSAFEPATH": "1"}
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "night.py").write_text(NIGHT.format(metrics=metrics), encoding="utf-8")
    for command in (["-m", "airflow", "db", "migrate"], [str(tmp_path / "dags" / "night.py")]):
        done = subprocess.run(
            [sys.executable, *command], env=os.environ | home, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    expected = {"run": run, "teacher": teacher, "teacher__node_1": node, "report": "success"}
    assert json.loads(line.removeprefix("FOUND ")) == expected
