"""The audit: one permanent row for every event in production, stored in MLflow for people and code.

MLflow keeps no history of its aliases. So each row is a separate run in the experiment `production`, created with all
its content by one call. Each row holds the digest of the row before it, and a tag of the production model holds the
digest of the newest row. This detects a row that was altered or removed, and an experiment that was deleted or renamed.
A second history is never started beside the first.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.tracking.deleted import find_experiment, search_everywhere, way_back
from stillhouse.tasks.tracking.runs import experiment_of
from stillhouse.tasks.tracking.tags import NOTE, PREFIX

EXPERIMENT = "production"
ABOUT = (
    "The audit: one run for everything that happened to production, never changed. `stillhouse audit MODEL` tells it "
    "and checks that nobody altered it. Worth a column: the tags "
    "`stillhouse.who`, `stillhouse.before`, `stillhouse.after`."
)
ROW = f"{PREFIX}row"
ROW_ID = f"{PREFIX}row_id"
MODEL = f"{PREFIX}model"
NUMBER = f"{PREFIX}number"
NEWEST = f"{PREFIX}audit_newest"
"""Tag of a production model with the number and digest of its newest row."""
PAGE = 1000
ABSENT = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's error code for a registered model that does not exist."""
BACKUP = f"restore the experiment {EXPERIMENT} from a backup of MLflow's database"
FIRST = "0" * 64
"""Placeholder for the digest before the first row."""


@dataclass(frozen=True)
class Row:
    """One event of a production model."""

    id: str
    """Id of the event, not of the row. If the event is repeated, the existing row is found."""
    model: str
    action: str
    """One of promote, rollback, external, refuse, resign."""
    before: str | None
    """Champion before the event, `None` if there was none."""
    after: str | None
    """Champion after the event."""
    who: str
    why: str
    at: str
    """Time in UTC, ISO 8601."""
    evidence: Mapping[str, str]
    """Digests and addresses of the evidence for the decision."""
    number: int = 0
    row_before: str = FIRST

    @property
    def digest(self) -> str:
        """SHA-256 of the row's content."""
        return json_digest(asdict(self))


def rows_of(client: MlflowClient, model: str) -> list[Row]:
    """List a production model's rows, oldest first.

    Raises:
        StillhouseError: a row was altered or is missing. The error names the first such row and how to restore it.
    """
    rows = sorted((_row(run) for run in _runs(client, f"tags.`{MODEL}` = '{model}'")), key=lambda row: row.number)
    expected = FIRST
    for number, row in enumerate(rows, start=1):
        if row.number != number or row.row_before != expected:
            raise StillhouseError(_describe_gone(client, model, number, expected))
        expected = row.digest
    known, digest = _read_newest(client, model)
    if len(rows) < known or not rows:
        _refuse_gone(client, model, len(rows) + 1, expected, known=known)
    elif known and rows[known - 1].digest != digest:
        raise StillhouseError(_describe_gone(client, model, known, rows[known - 1].row_before))
    return rows


def append(client: MlflowClient, row: Row) -> Row:
    """Add a row unless its event is in the audit already; returns the audit's row. Callers hold the model's lock."""
    rows = rows_of(client, row.model)
    known = next((old for old in rows if old.id == row.id), None)
    if known is None:
        last = rows[-1].digest if rows else FIRST
        known = replace(row, number=len(rows) + 1, row_before=last)
        experiment = experiment_of(client, EXPERIMENT, ABOUT)
        client.create_run(experiment, tags=_tags(known), run_name=_title(known))
        rows.append(known)
    _note_newest(client, rows[-1])
    for run in _runs(client, f"tags.`{ROW_ID}` = '{row.id}' and attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id)
    return known


def _tags(row: Row) -> dict[str, str]:
    shown = {"action": row.action, "who": row.who, "before": row.before or "none", "after": row.after or "none"}
    columns = {f"{PREFIX}{name}": value for name, value in shown.items()}
    found = {ROW: json.dumps(asdict(row)), ROW_ID: row.id, MODEL: row.model, NUMBER: str(row.number)}
    return found | columns | {NOTE: row.why}


def _title(row: Row) -> str:
    return f"{row.number} {row.action} {row.before or 'none'} to {row.after or 'none'}, {row.model}"


def _runs(client: MlflowClient, query: str) -> list[Run]:
    found: Any = None
    runs: list[Run] = []
    experiment = find_experiment(client, EXPERIMENT)
    if experiment is None:
        return runs
    while found is None or found.token:
        token = found.token if found else None
        found = client.search_runs([experiment], query, max_results=PAGE, page_token=token)
        runs += found
    return runs


def _read_newest(client: MlflowClient, model: str) -> tuple[int, str]:
    """Return number and digest of the newest row recorded at the production model; number 0 if there is none."""
    try:
        number, _, digest = client.get_registered_model(model).tags.get(NEWEST, "0 ").partition(" ")
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return 0, ""
    return int(number), digest


def _note_newest(client: MlflowClient, row: Row) -> None:
    try:
        client.set_registered_model_tag(row.model, NEWEST, f"{row.number} {row.digest}")
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise  # a refusal may be audited before any version was in production


def _refuse_gone(client: MlflowClient, model: str, number: int, before: str, *, known: int) -> None:
    """Raise an error if rows are missing at the end: the model knows more rows, or another experiment holds them."""
    copies = _copies(client, model, number, before)
    if known or any(run.info.lifecycle_stage == LifecycleStage.ACTIVE for run in copies):
        raise StillhouseError(_describe_gone(client, model, number, before))


def _describe_gone(client: MlflowClient, model: str, number: int, before: str) -> str:
    """Describe a missing row and how to restore it."""
    told = f"row {number} of the audit of {model} was altered or removed"
    found = (way_back(client, run, EXPERIMENT) for run in _copies(client, model, number, before))
    return f"{told}; {next(filter(None, found), BACKUP)}"


def _copies(client: MlflowClient, model: str, number: int, before: str) -> list[Run]:
    """Find all copies of a row in MLflow, including deleted ones."""
    runs = search_everywhere(client, f"tags.`{MODEL}` = '{model}' and tags.`{NUMBER}` = '{number}'")
    return [run for run in runs if f'"row_before": "{before}"' in run.data.tags.get(ROW, "")]


def _row(run: Run) -> Row:
    try:
        return Row(**json.loads(run.data.tags[ROW]))
    except (KeyError, ValueError, TypeError) as error:
        msg = f"the audit's run {run.info.run_id} is no row any more ({error}); {BACKUP}"
        raise StillhouseError(msg) from error
