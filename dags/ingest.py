"""One `ingest_<dataset>` DAG for every image dataset of a recipe: it turns new batches into a new data version.

The event of a new version wakes the recipes of that dataset. It is sent if the last event was not for the newest
version. So if a task is killed after it made a version, its retry sends the event. The next run also sends the event of
a version that was made on the command line.

If an ingestion cannot go on, one message gives the reason and the run fails once. While the reason stays the same,
later runs are skipped. When the ingestion works again, one message says so. The file imports little, for the same
reason as dags/nightly.py.
"""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout
from pydantic import JsonValue

from stillhouse.dags.events import RECIPES, data_of
from stillhouse.dags.every_recipe import dags_of_recipes
from stillhouse.dags.notify import tell
from stillhouse.dags.worker import WorkerOperator
from stillhouse.models.workloads.registry import learns_from_pictures
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.local_stack.servers import MEASURE_POOL
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

EVERY = "*/10 * * * *"


class IngestOperator(WorkerOperator):
    """Ingests new batches, reports each batch, and sends the event of a new version.

    Without a new version, it is skipped.
    """

    def __init__(self, *, dataset: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the dataset's name."""
        super().__init__(inlets=[data_of(dataset)], outlets=[data_of(dataset)], **options)
        self.dataset = dataset

    def execute(self, context: Context) -> dict[str, JsonValue]:
        """Ingest the inbox of the dataset; returns the content of the event."""
        try:
            said, event = self._ingest_and_tell(), self._unsent(context)
        except (Exception, AirflowTaskTimeout) as error:  # noqa: BLE001 - a fault of ours stops the ingestion, too
            return self._report_stop(context, error)
        self._going()
        if event is None:
            raise AirflowSkipException("; ".join(said) or f"nothing landed for {self.dataset}")
        return event

    def _unsent(self, context: Context) -> dict[str, JsonValue] | None:
        """Put the newest version into this run's event, unless that event was sent before."""
        from stillhouse.tasks.data.store.data_branch import find_newest_tag, version_of
        from stillhouse.tasks.settings import load_settings

        tag, asset = find_newest_tag(load_settings().root, self.dataset), data_of(self.dataset)
        sent = context["inlet_events"][asset].ascending(ascending=False).limit(1)
        if tag is None or tag in {(event.extra or {}).get("revision") for event in sent}:
            return None
        event: dict[str, JsonValue] = {"revision": tag, "data_version": version_of(tag)}
        context["outlet_events"][asset].extra = event
        return event

    def _report_stop(self, context: Context, error: BaseException) -> dict[str, JsonValue]:
        """Report once why the ingestion stopped. If a version was made before the error, its event is still sent."""
        from stillhouse.tasks.data.ingest.ingest_state import is_told, note_told
        from stillhouse.tasks.settings import load_settings

        settings, reason = load_settings(), _sentence(error)
        known, again = is_told(settings, self.dataset, reason), context["ti"].try_number <= context["ti"].max_tries
        if not known and again and (isinstance(error, ServiceError) or not isinstance(error, StillhouseError)):
            raise error
        if not known:
            tell("ingestion stopped", self.dataset, reason)
            note_told(settings, self.dataset, reason)
        with suppress(StillhouseError):
            if event := self._unsent(context):
                return event
        if known:
            msg = f"still stopped, as was told: {reason}"
            raise AirflowSkipException(msg) from error
        raise AirflowFailException(reason) from error

    def _going(self) -> None:
        """Report once that the ingestion works again, if people were told that it had stopped."""
        from stillhouse.tasks.data.ingest.ingest_state import list_told, note_going
        from stillhouse.tasks.settings import load_settings

        settings = load_settings()
        if reasons := list_told(settings, self.dataset):
            tell("ingestion goes on", self.dataset, f"no longer stopped by: {reasons[-1]}")
            note_going(settings, self.dataset)

    def _ingest_and_tell(self) -> list[str]:
        """Ingest the inbox and send one message per batch; returns one line for each batch."""
        from stillhouse.tasks.data.ingest.ingest import ingest
        from stillhouse.tasks.settings import load_settings

        lines = []
        for outcome in ingest(load_settings(), self.dataset, self.log.info):
            if outcome.state == "accepted":
                tell("new data", self.dataset, f"batch {outcome.batch}: {outcome.sentence}")
            elif outcome.state == "quarantined":
                tell("data quarantined", self.dataset, outcome.sentence)
            lines.append(f"{outcome.batch}: {outcome.state}: {outcome.sentence}")
        return lines


def _sentence(error: BaseException) -> str:
    """Return the reason with its remedy. For an unexpected error, the task's log has the details."""
    if isinstance(error, StillhouseError):
        return str(error)
    what = "it took too long" if isinstance(error, AirflowTaskTimeout) else f"{type(error).__name__}: {error}"
    return f"{' '.join(what.split())[:300]}; look at the log of the task ingest and mend that"


class MarkStaleOperator(WorkerOperator):
    """Tags champions as stale if the new data version makes them stale."""

    def __init__(self, *, dataset: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the dataset's name."""
        super().__init__(**options)
        self.dataset = dataset

    def execute(self, context: Context) -> list[str]:
        """Tag the champions; returns one line for each reason."""
        del context
        from stillhouse.tasks.registry.status import note_all_staleness
        from stillhouse.tasks.settings import load_settings
        from stillhouse.tasks.tracking.connection import connect

        settings = load_settings()
        return note_all_staleness(connect(settings.tracking_uri), settings, RECIPES, self.dataset)


def ingest_dag(dataset: str) -> DAG:
    """Build the DAG of one dataset."""
    with DAG(
        f"ingest_{dataset}",
        # A new DAG does not run at once, because Airflow is busy while it starts.
        schedule=CronTriggerTimetable(EVERY, timezone="UTC", run_immediately=False),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=[dataset, "ingest"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
        doc_md=f"Makes a new version of `{dataset}` from each batch that landed; docs/data.md says how to send one.",
    ) as dag:
        # The task takes the slot of measuring, so that it never runs beside a stage that measures times.
        ingest = IngestOperator(
            task_id="ingest", dataset=dataset, pool=MEASURE_POOL, execution_timeout=timedelta(minutes=30)
        )
        _ = ingest >> MarkStaleOperator(task_id="stale", dataset=dataset)
    return dag


def of_pictures(recipe: Recipe) -> bool:
    """Tell whether a recipe's dataset holds pictures. A recipe with a speech encoder learns from recordings."""
    return learns_from_pictures(recipe.workload) and "speech" not in recipe.teacher.networks


def ingest_of(path: Path) -> DAG | None:
    """Build the DAG of a recipe's dataset. All recipes of that dataset share one DAG."""
    recipe = load_recipe(path)
    return ingest_dag(recipe.data.dataset) if of_pictures(recipe) else None


globals().update(dags_of_recipes("ingest", RECIPES, ingest_of))
