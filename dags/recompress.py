"""One DAG `recompress`, paused by default: it starts a nightly run for every recipe with a stale champion.

A champion is stale if there is a newer teacher or newer data than it was made from. The file imports little, for the
same reason as dags/nightly.py.
"""

from datetime import timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowSkipException

from stillhouse.dags.events import RECIPES
from stillhouse.dags.worker import WorkerOperator


class StaleOperator(WorkerOperator):
    """Lists the nightly DAGs of recipes with a stale champion; skips if there are none."""

    def execute(self, context: Context) -> list[str]:
        """Look for stale champions."""
        del context
        from stillhouse.tasks.registry.status import stale_recipes
        from stillhouse.tasks.settings import load_settings
        from stillhouse.tasks.tracking.connection import connect

        settings = load_settings()
        stale = stale_recipes(connect(settings.tracking_uri), settings, RECIPES)
        if not stale:
            msg = "nothing in production is stale"
            raise AirflowSkipException(msg)
        return [f"nightly_{name}" for name in stale]


with DAG(
    "recompress",
    schedule=CronTriggerTimetable("0 5 * * 0", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["production"],
    default_args={"owner": "ml-operations", "retries": 2, "retry_delay": timedelta(seconds=5)},
    doc_md="Starts a night for every recipe whose production student comes from an older teacher or older data.",
) as recompress:
    stale = StaleOperator(task_id="stale")
    TriggerDagRunOperator.partial(task_id="night").expand(trigger_dag_id=stale.output)
