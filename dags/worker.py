"""The base of all operators that do Stillhouse's work: they run only on a worker with the code of the deployment.

`docker/entry/prepare.py` states that code in an Airflow variable at each start of a stack. If the variable is not set,
nothing is compared: on the embedded stack a developer may edit the code between two stages. This module builds no
workflow.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import BaseOperator, Context, Variable
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowRescheduleException

from stillhouse.tasks.artifacts.deployed_code import VARIABLE, expect_code
from stillhouse.tasks.errors import ServiceError


class WorkerOperator(BaseOperator):
    """Refuses a worker whose code differs from the code of the deployment."""

    def pre_execute(self, context: Context) -> None:
        """Compare this worker's code with the deployment's.

        On a difference the task waits, so that another worker takes it. Airflow does the same if a worker lacks a DAG,
        and this uses the same two settings. Such a wait is no retry.

        Raises:
            ServiceError: the task has waited as often as Airflow's `missing_dag_retries` allows.
        """
        deployed = Variable.get(VARIABLE, default=None)
        if deployed is None:
            return
        try:
            expect_code(deployed)
        except ServiceError as error:
            if context.get("task_reschedule_count", 0) >= conf.getint("workers", "missing_dag_retries"):
                raise
            self.log.error("%s; the task waits for another worker", error)  # noqa: TRY400 - the sentence says it all
            delay = timedelta(seconds=conf.getint("workers", "missing_dag_retry_delay"))
            raise AirflowRescheduleException(datetime.now(UTC) + delay) from error  # type: ignore[no-untyped-call]
