"""A further host of a stage that trains on several hosts. It holds a slot only while it looks and while it trains.

The stage decides whether there is anything to train. dags/nightly.py uses this module; it builds no DAG.
"""

from pathlib import Path
from typing import Any

from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from stillhouse.dags.worker import WorkerOperator
from stillhouse.tasks.errors import ArtifactError, ServiceError, StillhouseError
from stillhouse.tasks.pipeline.graph import NODE

SECONDS_BETWEEN_LOOKS = 15.0
OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}
"""States of a stage that will not train any more."""


class NodeSensor(WorkerOperator, BaseSensorOperator):
    """Trains beside a stage in each of its attempts, until the stage has ended.

    If the stage trained nothing, this task is skipped.
    """

    def __init__(self, *, recipe_path: str, stage: str, node: int, **options: Any) -> None:  # noqa: ANN401 - Airflow's own
        """Keep the recipe's path, the stage's name and the number of this host."""
        super().__init__(
            task_id=f"{stage}{NODE}{node}",
            mode="reschedule",
            poke_interval=SECONDS_BETWEEN_LOOKS,
            **options,
        )
        self.recipe_path, self.stage, self.node = recipe_path, stage, node

    def poke(self, context: Context) -> bool:
        """Train if the stage trains now. Returns whether the stage has ended after a training."""
        run = context["dag_run"]
        states = context["ti"].get_task_states(run.dag_id, task_ids=[self.stage], run_ids=[run.run_id])
        state = states.get(run.run_id, {}).get(self.stage)
        if state in OVER:
            return self._conclude(context, state)
        if state == "running":
            self._help(f"{run.dag_id}/{run.run_id}")
        return False

    def _conclude(self, context: Context, state: str) -> bool:
        metrics = context["ti"].xcom_pull(task_ids=self.stage) or {}
        if state == "success" and not metrics.get("reused"):
            return True
        msg = f"stage {self.stage} ended ({state}) without a training that needs this host"
        raise AirflowSkipException(msg)

    def _help(self, run_key: str) -> None:
        from stillhouse.tasks.distributed.node import help_train

        try:
            help_train(Path(self.recipe_path), self.stage, self.node, run_key)
        except (ServiceError, ArtifactError):
            raise
        except StillhouseError as error:
            raise AirflowFailException(str(error)) from error
