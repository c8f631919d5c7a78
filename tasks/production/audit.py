"""The audit: one row for everything that happened to production, never changed, found in MLflow by people and by code.

MLflow keeps no history of its aliases, so a row is a run of its own in the experiment `production`, made by one call
with all it says. A row holds the digest of the row before it: one that was altered or taken out is noticed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tasks.artifact import json_digest
from tasks.errors import StillhouseError
from tasks.tracking import NOTE, PREFIX, experiment_of

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
PAGE = 1000
FIRST = "0" * 64
"""Stands for the digest of the row before the first."""


@dataclass(frozen=True)
class Row:
    """One thing that happened to a production model."""

    id: str
    """Names the deed, not the row: doing it again finds the row."""
    model: str
    action: str
    """promote, rollback, external, refuse or resign."""
    before: str | None
    """Version that was the champion, None if there was none."""
    after: str | None
    """Version that is the champion since."""
    who: str
    why: str
    at: str
    """UTC, ISO 8601."""
    evidence: Mapping[str, str]
    """Digests and addresses of what the decision was made on."""
    number: int = 0
    row_before: str = FIRST

    @property
    def digest(self) -> str:
        """SHA-256 of all it says."""
        return json_digest(asdict(self))


def rows_of(client: MlflowClient, model: str) -> list[Row]:
    """List a production model's rows, oldest first.

    Raises:
        StillhouseError: a row was altered, or one is missing; names the first.
    """
    rows = sorted((_row(run) for run in _runs(client, f"tags.`{MODEL}` = '{model}'")), key=lambda row: row.number)
    expected = FIRST
    for number, row in enumerate(rows, start=1):
        if row.number != number or row.row_before != expected:
            msg = f"row {number} of the audit of {model} was altered or removed; restore the experiment {EXPERIMENT}"
            raise StillhouseError(msg)
        expected = row.digest
    return rows


def append(client: MlflowClient, row: Row) -> Row:
    """Add a row unless its deed is there already; returns what stands in the audit. Callers hold the model's lock."""
    rows = rows_of(client, row.model)
    known = next((old for old in rows if old.id == row.id), None)
    if known is None:
        last = rows[-1].digest if rows else FIRST
        known = replace(row, number=len(rows) + 1, row_before=last)
        client.create_run(_experiment(client), tags=_tags(known), run_name=_title(known))
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
    while found is None or found.token:
        token = found.token if found else None
        found = client.search_runs([_experiment(client)], query, max_results=PAGE, page_token=token)
        runs += found
    return runs


def _experiment(client: MlflowClient) -> str:
    return experiment_of(client, EXPERIMENT, ABOUT)


def _row(run: Run) -> Row:
    try:
        return Row(**json.loads(run.data.tags[ROW]))
    except (KeyError, ValueError, TypeError) as error:
        msg = f"the audit's run {run.info.run_id} is no row any more ({error}); restore the experiment {EXPERIMENT}"
        raise StillhouseError(msg) from error
