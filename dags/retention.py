"""One DAG `gc`, paused by default: every Sunday it deletes what nothing needs, as `stillhouse gc --delete` does.

The file imports little, for the same reason as dags/nightly.py.
"""

from datetime import timedelta

from airflow.sdk import DAG, Context, CronTriggerTimetable

from stillhouse.dags.worker import WorkerOperator
from stillhouse.tasks.local_stack.servers import MEASURE_POOL


class CollectOperator(WorkerOperator):
    """Deletes what nothing needs; returns the number of bytes."""

    def execute(self, context: Context) -> int:
        """Delete with the defaults, and write into the log what went."""
        del context
        from stillhouse.tasks.retention.collect import collect, table
        from stillhouse.tasks.settings import load_settings

        found = collect(load_settings(), really=True)
        for line in (*table(found), *found.notes):
            self.log.info(line)
        return found.bytes


with DAG(
    "gc",
    schedule=CronTriggerTimetable("0 4 * * 0", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["retention"],
    default_args={"owner": "ml-operations", "retries": 2, "retry_delay": timedelta(seconds=5)},
    doc_md="Deletes what no promoted version, no night of the last 30 days and no row of the audit needs.",
) as gc:
    # The task takes the slot of measuring: a busy disk would change what is measured.
    CollectOperator(task_id="collect", pool=MEASURE_POOL, execution_timeout=timedelta(hours=2))
