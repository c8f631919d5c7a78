"""One `refresh_<dataset>` DAG for every dataset of pictures of a recipe: what landed -> a new version -> an event.

The event wakes the recipes of that dataset. It is sent for the newest version if the last event was of another, so a
task that was killed after the version was made sends it when it is tried again, and so does the next run for a version
that was made on the command line.

A refresh that cannot go on says so in one message with the reason and is red once. While the reason stands its runs are
skipped, and one message says when it goes on. Light on purpose, as dags/nightly.py.
"""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout
from pydantic import JsonValue

from stillhouse.dags.events import RECIPES, data_of
from stillhouse.dags.every_recipe import dags_of_recipes
from stillhouse.dags.notify import tell
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.local_stack.servers import TRAINING_POOL
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

EVERY = "*/10 * * * *"


class RefreshOperator(BaseOperator):
    """Takes what landed, tells of each batch, and sends the event of a new version; else it is skipped."""

    def __init__(self, *, dataset: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Remember the dataset."""
        super().__init__(inlets=[data_of(dataset)], outlets=[data_of(dataset)], **options)
        self.dataset = dataset

    def execute(self, context: Context) -> dict[str, JsonValue]:
        """Refresh; returns what the event says."""
        try:
            said, event = self._told(), self._unsent(context)
        except (Exception, AirflowTaskTimeout) as error:  # noqa: BLE001 - a fault of ours stops the refresh, too
            return self._stopped(context, error)
        self._going()
        if event is None:
            raise AirflowSkipException("; ".join(said) or f"nothing landed for {self.dataset}")
        return event

    def _unsent(self, context: Context) -> dict[str, JsonValue] | None:
        """Put the newest version into the event of this run, unless it was sent."""
        from stillhouse.tasks.data.store.data_branch import newest_tag, version_of
        from stillhouse.tasks.settings import load_settings

        tag, asset = newest_tag(load_settings().root, self.dataset), data_of(self.dataset)
        sent = context["inlet_events"][asset].ascending(ascending=False).limit(1)
        if tag is None or tag in {(event.extra or {}).get("revision") for event in sent}:
            return None
        event: dict[str, JsonValue] = {"revision": tag, "data_version": version_of(tag)}
        context["outlet_events"][asset].extra = event
        return event

    def _stopped(self, context: Context, error: BaseException) -> dict[str, JsonValue]:
        """Tell once why nothing goes on; a version that was made before that is sent all the same."""
        from stillhouse.tasks.data.ingest.refresh_state import is_told, note_told
        from stillhouse.tasks.settings import load_settings

        settings, reason = load_settings(), _sentence(error)
        known, again = is_told(settings, self.dataset, reason), context["ti"].try_number <= context["ti"].max_tries
        if not known and again and (isinstance(error, ServiceError) or not isinstance(error, StillhouseError)):
            raise error
        if not known:
            tell("refresh stopped", self.dataset, reason)
            note_told(settings, self.dataset, reason)
        with suppress(StillhouseError):
            if event := self._unsent(context):
                return event
        if known:
            msg = f"still stopped, as was told: {reason}"
            raise AirflowSkipException(msg) from error
        raise AirflowFailException(reason) from error

    def _going(self) -> None:
        """Tell once that it goes on, if people were told that it stopped."""
        from stillhouse.tasks.data.ingest.refresh_state import note_going, told_of
        from stillhouse.tasks.settings import load_settings

        settings = load_settings()
        if reasons := told_of(settings, self.dataset):
            tell("refresh goes on", self.dataset, f"no longer stopped by: {reasons[-1]}")
            note_going(settings, self.dataset)

    def _told(self) -> list[str]:
        """Take what landed and tell of it, one message a batch; returns a line for each."""
        from stillhouse.tasks.data.ingest.refresh import refresh
        from stillhouse.tasks.settings import load_settings

        lines = []
        for outcome in refresh(load_settings(), self.dataset, self.log.info):
            if outcome.state == "accepted":
                tell("new data", self.dataset, f"batch {outcome.batch}: {outcome.sentence}")
            elif outcome.state == "quarantined":
                tell("data quarantined", self.dataset, outcome.sentence)
            lines.append(f"{outcome.batch}: {outcome.state}: {outcome.sentence}")
        return lines


def _sentence(error: BaseException) -> str:
    """Give the reason with its remedy; an error that nobody foresaw is in the task's log."""
    if isinstance(error, StillhouseError):
        return str(error)
    what = "it took too long" if isinstance(error, AirflowTaskTimeout) else f"{type(error).__name__}: {error}"
    return f"{' '.join(what.split())[:300]}; look at the log of the task refresh and mend that"


class MarkStaleOperator(BaseOperator):
    """Marks what is in production stale where the new version makes it so."""

    def __init__(self, *, dataset: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Remember the dataset."""
        super().__init__(**options)
        self.dataset = dataset

    def execute(self, context: Context) -> list[str]:
        """Mark; returns a line for each."""
        del context
        from stillhouse.tasks.registry.status import note_debts
        from stillhouse.tasks.settings import load_settings
        from stillhouse.tasks.tracking.runs import connect

        settings = load_settings()
        return note_debts(connect(settings.tracking_uri), settings, RECIPES, self.dataset)


def refresh_dag(dataset: str) -> DAG:
    """Build the DAG of one dataset."""
    with DAG(
        f"refresh_{dataset}",
        # Not at once when it is new: Airflow is busy enough while it starts.
        schedule=CronTriggerTimetable(EVERY, timezone="UTC", run_immediately=False),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=[dataset, "refresh"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
        doc_md=f"Makes a new version of `{dataset}` from each batch that landed; docs/data.md says how to send one.",
    ) as dag:
        # In the slot of what trains and measures: never beside something that is timed.
        refresh = RefreshOperator(
            task_id="refresh", dataset=dataset, pool=TRAINING_POOL, execution_timeout=timedelta(minutes=30)
        )
        _ = refresh >> MarkStaleOperator(task_id="stale", dataset=dataset)
    return dag


def of_pictures(recipe: Recipe) -> bool:
    """Whether a recipe's dataset holds pictures: one with a speech encoder learns from recordings."""
    return "speech" not in recipe.teacher.networks


def refresh_of(path: Path) -> DAG | None:
    """Build the DAG of a recipe's dataset; one is enough for all recipes of that dataset."""
    recipe = load_recipe(path)
    return refresh_dag(recipe.data.dataset) if of_pictures(recipe) else None


globals().update(dags_of_recipes("refresh", RECIPES, refresh_of))
