"""The generated DAGs, loaded by the Airflow in use."""

import importlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from report_samples import STARTED

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.servers import POOLS
from stillhouse.tasks.pipeline.graph import stages_of, upstream_of
from stillhouse.tasks.recipe.recipe import load_recipe

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "dags" / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def promotion(nightly: ModuleType) -> ModuleType:
    """The DAG file of promotions."""
    del nightly
    return importlib.import_module("stillhouse.dags.promotion")


def context(conf: dict[str, Any]) -> dict[str, Any]:
    """What Airflow hands to a task, as far as a stage looks at it."""
    run = SimpleNamespace(conf=conf, dag_id="nightly_x", run_id="r")
    return {"dag_run": run, "params": {"revision": None, "force": False}, "triggering_asset_events": {}}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_a_dag_with_its_stages_in_order(nightly: ModuleType, path: Path) -> None:
    """A DAG's tasks are the recipe's stages, and each waits for what `upstream_of` says."""
    dag = nightly.nightly(path)
    stages = stages_of(load_recipe(path))
    names, after = [stage.name for stage in stages], upstream_of(stages)
    assert dag.dag_id == f"nightly_{path.stem}"
    assert {task.task_id for task in dag.tasks} == set(names)
    assert {name: dag.get_task(name).upstream_task_ids for name in names} == {name: {*after[name]} for name in names}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_dag_runs_once_at_a_time_and_describes_itself(nightly: ModuleType, path: Path) -> None:
    """A DAG never catches up, never overlaps itself, and names its owner, tags, limits and header."""
    recipe, dag = load_recipe(path), nightly.nightly(path)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.tags >= {recipe.name, recipe.workload}
    assert recipe.description in dag.doc_md
    assert f"{recipe.gate.quality:.1%}" in dag.doc_md
    assert path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") in dag.doc_md
    assert {task.owner for task in dag.tasks} == {recipe.owner}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_stage_waits_for_a_slot_of_its_kind_and_has_an_end(nightly: ModuleType, path: Path) -> None:
    """A stage's pool is its queue, a pool that exists, and every stage has retries and a time limit."""
    dag = nightly.nightly(path)
    for stage in stages_of(load_recipe(path)):
        task = dag.get_task(stage.name)
        assert task.pool == task.queue == QUEUES[stage.kind]
        assert task.pool in POOLS
        assert task.execution_timeout == timedelta(minutes=360 if stage.heavy else 30)
        assert (task.retries, task.retry_exponential_backoff) == (4, 3.0)
    assert dag.get_task("report").trigger_rule == "all_done"


QUEUES = {
    **dict.fromkeys(["pull", "validate", "export", "gate", "register", "report"], "cpu"),
    **dict.fromkeys(["teacher", "compress", "join", "final_test"], "train"),
    **dict.fromkeys(["evaluate", "compare_champion", "load_test"], "measure"),
}
"""Kind of a stage -> its queue."""


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_stage_waits_in_the_queue_of_its_kind(nightly: ModuleType, path: Path) -> None:
    """Light stages, trainings and measurements have queues of their own, for workers on different hosts."""
    dag = nightly.nightly(path)
    stages = stages_of(load_recipe(path))
    assert {stage.name: dag.get_task(stage.name).queue for stage in stages} == {
        stage.name: QUEUES[stage.kind] for stage in stages
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_registered_candidate_wakes_its_promotion(nightly: ModuleType, promotion: ModuleType, path: Path) -> None:
    """The stage register sends the event that the recipe's promotion waits for, and no other stage sends one."""
    night, asks = nightly.nightly(path), promotion.promotion(path, load_recipe(path))
    assert {task.task_id: [each.name for each in task.outlets] for task in night.tasks if task.outlets} == {
        "register": [f"candidate_{path.stem}"]
    }
    assert [each.name for each in asks.schedule] == [f"candidate_{path.stem}"]
    assert [task.task_id for task in asks.topological_sort()] == ["card", "approve", "decide"]
    assert asks.is_paused_upon_creation is False


def test_a_promotion_without_an_answer_is_a_no(promotion: ModuleType) -> None:
    """The question times out to Reject, is asked again if an answer is lost, and a no does not skip the audit."""
    task = promotion.promotion(RECIPES[0], load_recipe(RECIPES[0])).get_task("approve")
    assert (task.defaults, task.response_timeout, task.execution_timeout) == (["Reject"], timedelta(days=2), None)
    assert task.retries == 3
    event = {"chosen_options": ["Reject"], "params_input": {}, "responded_at": STARTED, "responded_by_user": None}
    assert task.execute_complete({}, event)["chosen_options"] == ["Reject"]


def test_an_answer_outlives_a_registry_that_is_away(promotion: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A yes is tried for two hours, quietly; the last attempt tells once how to carry it out later."""
    from stillhouse.tasks.registry import approval

    task = promotion.promotion(RECIPES[0], load_recipe(RECIPES[0])).get_task("decide")
    delays = [min(5 * 2.0**number, task.max_retry_delay.total_seconds()) for number in range(task.retries)]
    assert sum(delays) > 2 * 3600
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(promotion, "tell", lambda *message: told.append(message))
    monkeypatch.setattr(approval, "decide", lambda *_: (_ for _ in ()).throw(ServiceError("MLflow is away")))
    for attempt in (1, 20, 21):
        ti = SimpleNamespace(try_number=attempt, max_tries=20, xcom_pull=lambda **_: {"model": "tiny"})
        with pytest.raises(ServiceError):
            task.execute({"ti": ti, "dag_run": SimpleNamespace(dag_id="promotion_tiny", run_id="r")})
        assert len(told) == (attempt == 21)
    assert told[0][:2] == ("pipeline broken", "tiny")
    assert told[0][2].startswith("MLflow is away; the answer is kept: clear the task decide")


@pytest.mark.parametrize("revision", ["--upload-pack=x", "a b", "", 7])
def test_the_trigger_form_refuses_what_is_no_revision(nightly: ModuleType, revision: object) -> None:
    """A revision that could be read as an option, or is no git name, is refused."""
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        nightly.PARAMS["revision"].resolve(value=revision)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "HEAD~1"])
def test_the_trigger_form_accepts_a_revision(nightly: ModuleType, revision: str | None) -> None:
    """A git revision, or none, is accepted."""
    assert nightly.PARAMS["revision"].resolve(value=revision) == revision


def test_a_stage_refuses_unknown_conf_keys(nightly: ModuleType) -> None:
    """A key that no param declares ends the task without a retry, and names the key and the remedy."""
    from airflow.sdk.exceptions import AirflowFailException

    stage = nightly.StageOperator(task_id="pull", recipe_path="unread.yaml")
    with pytest.raises(AirflowFailException, match=r"unknown keys evil, recipe_path; .* revision and force only"):
        stage.execute(context({"recipe_path": "/etc/passwd", "evil": 1, "force": True}))


def test_a_mendable_failure_is_not_retried(
    nightly: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that is gone ends the task at once, with the sentence."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    from airflow.sdk.exceptions import AirflowFailException

    stage = nightly.StageOperator(task_id="pull", recipe_path="gone.yaml")
    with pytest.raises(AirflowFailException, match=r"recipe gone\.yaml cannot be read .*; name a file"):
        stage.execute(context({}))


def test_a_broken_recipe_becomes_a_dag_that_says_why(nightly: ModuleType, tmp_path: Path) -> None:
    """A recipe with a misspelt key gives a DAG that is tagged, explains itself and fails with the sentence."""
    from airflow.sdk.exceptions import AirflowFailException

    path = tmp_path / "mis spelt.yaml"
    path.write_text(RECIPES[0].read_text(encoding="utf-8").replace("seed:", "sed:"), encoding="utf-8")
    (dag,) = nightly.dags_of_recipes("nightly", tmp_path, nightly.nightly).values()
    assert (dag.dag_id, dag.tags) == ("nightly_mis_spelt", {"broken-recipe"})
    assert "sed: Extra inputs" in dag.doc_md
    with pytest.raises(AirflowFailException, match=r"sed: Extra inputs .*; mend or remove these keys"):
        dag.get_task("recipe").execute({})


@pytest.mark.parametrize("file", ["nightly", "promotion", "recompress", "ingest", "rollback", "retention"])
def test_a_dag_file_parses_fast_and_imports_nothing_heavy(tmp_path: Path, file: str) -> None:
    """Reading a DAG file takes under half a second once Airflow is loaded, and loads none of the work."""
    code = (
        "import sys, time\n"
        "from airflow.sdk import DAG, Asset, BaseOperator, Context, CronTriggerTimetable, Param, TriggerRule, chain\n"
        "from airflow.providers.standard.operators.hitl import ApprovalOperator\n"
        "before = set(sys.modules); start = time.process_time()\n"
        f"import stillhouse.dags.{file}\n"
        "known = {'torch', 'mlflow', 'pandas', 'numpy', 'dvc', 'boto3', 'stillhouse.tasks.pipeline.run_stage'}\n"
        "heavy = known & (set(sys.modules) - before)\n"
        "print(time.process_time() - start, *heavy)\n"
    )
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    seconds, *heavy = output.stdout.splitlines()[-1].split()
    assert float(seconds) < 0.5
    assert heavy == []


def test_what_is_stale_is_compressed_again_only_when_somebody_wants_it(nightly: ModuleType) -> None:
    """`recompress` lists what is stale and triggers a night for each; it stays paused until it is unpaused."""
    del nightly
    dag = importlib.import_module("stillhouse.dags.recompress").recompress
    assert [task.task_id for task in dag.topological_sort()] == ["stale", "night"]
    assert dag.get_task("night").is_mapped
    assert dag.is_paused_upon_creation in {None, True}


def test_a_collection_runs_weekly_when_somebody_wants_it_and_beside_no_measurement(
    nightly: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gc` stays paused until it is unpaused, takes the slot of measuring, and deletes with the defaults."""
    from stillhouse.tasks.retention import collect

    del nightly
    dag = importlib.import_module("stillhouse.dags.retention").gc
    assert dag.is_paused_upon_creation in {None, True}
    assert (dag.dag_id, dag.catchup, dag.max_active_runs, dag.schedule.expression) == ("gc", False, 1, "0 4 * * 0")
    task = dag.get_task("collect")
    assert (task.pool, task.execution_timeout) == ("measure", timedelta(hours=2))
    asked: list[dict[str, Any]] = []
    found = collect.Collected({"reports": collect.Count(2, 7)}, cutoff=0.0, before=9)
    monkeypatch.setattr(collect, "collect", lambda _settings, **options: asked.append(options) or found)
    assert task.execute({}) == 7
    assert asked == [{"really": True}]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_a_button_to_roll_back(nightly: ModuleType, path: Path) -> None:
    """A rollback is never scheduled, wants a reason, and takes a row of the audit or none."""
    from airflow.sdk.exceptions import ParamValidationError

    del nightly
    module = importlib.import_module("stillhouse.dags.rollback")
    dag = module.rollback_dag(load_recipe(path))
    assert (dag.dag_id, dag.schedule, [task.task_id for task in dag.tasks]) == (
        f"rollback_{path.stem}",
        None,
        ["rollback"],
    )
    assert module.PARAMS["row"].resolve(value=None) is None
    for param, wrong in (("why", ""), ("row", 0), ("row", "2")):
        with pytest.raises(ParamValidationError):
            module.PARAMS[param].resolve(value=wrong)
