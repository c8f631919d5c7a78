"""A deployment may have more recipes, and so more experiments, than MLflow gives at once."""

import pytest
from mlflow.tracking import MlflowClient

from stillhouse.tasks.retention.facts import read_facts
from stillhouse.tasks.tracking import experiments
from stillhouse.tasks.tracking.runs import find_finished, open_nightly


def test_a_finished_stage_is_found_in_the_oldest_experiment(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage of a recipe beyond MLflow's first page is reused, and `gc` knows its run."""
    monkeypatch.setattr(experiments, "PAGE", 2)
    night = open_nightly(client, "oldest", "night/1")
    with night.child("pull", "pull", "a key") as child:
        pass
    for number in range(5):
        open_nightly(client, f"newer {number}", "night/1")
    assert [run.info.run_id for run in find_finished(client, "a key")] == [child.run_id]
    assert {run.run_id for run in read_facts(client).runs} >= {night.run_id, child.run_id}
    names = [each.name for each in experiments.list_experiments(client)]
    assert len(names) == len(set(names))
    assert {"oldest", *(f"newer {number}" for number in range(5))} <= set(names)
