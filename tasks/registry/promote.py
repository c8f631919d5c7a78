"""Move the champion: promote a candidate after approval, or roll back to an earlier version.

Under a lock, every move is decided, noted, carried out and audited, in this order. If a kill leaves a move unfinished,
the next command finishes it first. A file of the state folder is the lock between processes of one host, and MLflow has
the lock between hosts.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.access.login import explain_refusal
from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.provenance.verify import fetch_signed_record
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry import pending_move as intent
from stillhouse.tasks.registry.audit import Row
from stillhouse.tasks.registry.pending_move import Intent
from stillhouse.tasks.registry.probe import probe
from stillhouse.tasks.registry.versions import (
    CANDIDATE,
    CHAMPION,
    DIGEST,
    PREVIOUS,
    find_aliased,
    is_champion,
    production_of,
    shippable,
    version_of,
    version_with_digest,
    with_alias,
)
from stillhouse.tasks.retention.in_use import looking
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.shared_lock import SharedLock, holding

OUTSIDE = "somebody outside Stillhouse"


@dataclass(frozen=True)
class Decision:
    """The person who decided, the reason, and the evidence."""

    who: str
    why: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Addresses and digests."""


def promote(
    model: str, decision: Decision, version: str | None = None, *, newest: bool = False, over: str | None = None
) -> str:
    """Make a version the champion of production (default: the candidate). The old champion becomes `previous`.

    Args:
        model: the recipe's model.
        decision: who decided, why, and on which evidence.
        version: a version of that model.
        newest: refuse the version if it is no longer the candidate.
        over: production version with which the candidate was compared; refuse if it is no longer the champion.

    Returns:
        One sentence about the change.

    Raises:
        StillhouseError: the version does not exist, did not pass its gate, is incomplete, has no provenance record of
            this deployment, was superseded, or does not answer.
    """
    with settle(model) as (client, lock):
        remedy = "run a nightly that passes, or name a version"
        chosen = version_of(client, model, version) if version else with_alias(client, model, CANDIDATE, remedy)
        candidate = find_aliased(client, model, CANDIDATE)
        if newest and version != candidate and not is_champion(client, model, chosen):
            msg = f"{model} version {version} was superseded by version {candidate}; look at that one"
            raise StillhouseError(msg)
        champion = find_aliased(client, production_of(model), CHAMPION)
        if over not in {None, champion} and not is_champion(client, model, chosen):
            msg = f"version {champion} is in production now, and it was compared with version {over}; look at it again"
            raise StillhouseError(msg)
        return _move(lock, model, chosen, "promote", decision)


def rollback(model: str, decision: Decision, row: int | None = None) -> str:
    """Make the previous champion the champion again, or the champion before a row of the audit.

    Returns:
        One sentence about the change.

    Raises:
        StillhouseError: there is no earlier version, or it is incomplete or does not answer.
    """
    production = production_of(model)
    with settle(model) as (client, lock):
        if row is None:
            chosen = with_alias(client, production, PREVIOUS, "nothing was in production before what is there now")
        else:
            chosen = version_of(client, production, _before(client, production, row))
        return _move(lock, model, chosen, "rollback", decision)


def refuse(model: str, version: str, decision: Decision, deed: str) -> str:
    """Record in the audit that a version was not promoted. The same `deed` is recorded only once."""
    production = production_of(model)
    with settle(model) as (client, _):
        champion = find_aliased(client, production, CHAMPION)
        evidence = {**decision.evidence, "candidate": f"{model}/{version}"}
        said = (decision.who, decision.why, now(), evidence)
        audit.append(client, Row(deed, production, "refuse", champion, champion, *said))
    return f"{model} version {version} was not promoted: {decision.why}"


@contextmanager
def settle(model: str) -> Iterator[tuple[MlflowClient, SharedLock]]:
    """Hold the model's locks, after unfinished moves are finished and every move of the alias is in the audit."""
    settings, production = load_settings(), production_of(model)
    client = connect(settings.tracking_uri)
    with waiting(settings.state / "production" / f"{model}.lock"), looking(settings.state):
        try:
            with holding(client, f"{production}.lock") as lock:
                left = intent.read_pending(client, production)
                if left is not None:
                    _carry_out(lock, left)
                _notice(client, production)
                yield client, lock
        except MlflowException as error:
            other = f"MLflow refused ({' '.join(str(error).split())[:300]}); look at its log and do it again"
            raise ServiceError(explain_refusal(error) or other) from error


def _move(lock: SharedLock, model: str, chosen: ModelVersion, action: str, decision: Decision) -> str:
    client, production = lock.client, production_of(model)
    before = find_aliased(client, production, CHAMPION)
    name = f"{chosen.name} version {chosen.version}"
    if is_champion(client, model, chosen):
        return f"{name} is the champion already; nothing changed"
    with shippable(chosen) as folder:
        probe(folder)
    if action == "promote":  # a rollback target was promoted before, so its nightly run is not needed
        fetch_signed_record(client, load_settings(), chosen)
    _ensure_model(client, production)
    decided = Intent(
        id=uuid.uuid4().hex,
        model=production,
        action=action,
        source=f"{chosen.name}/{chosen.version}",
        digest=chosen.tags[DIGEST],
        before=before,
        who=decision.who,
        why=decision.why,
        at=now(),
        evidence={**decision.evidence, "digest": chosen.tags[DIGEST]},
    )
    lock.expect_held()
    intent.note(client, decided)
    after = _carry_out(lock, decided)
    was = f"version {before}" if before else "none"
    return f"{name} is the champion now, as {production} version {after}; before it was {was}"


def _carry_out(lock: SharedLock, decided: Intent) -> str:
    """Carry out a decided move, from the point where it stopped."""
    client, after = lock.client, _in_production(lock.client, decided)
    lock.expect_held()
    if find_aliased(client, decided.model, CHAMPION) != after:
        if decided.before:
            client.set_registered_model_alias(decided.model, PREVIOUS, decided.before)
        client.set_registered_model_alias(decided.model, CHAMPION, after)
    said = (decided.who, decided.why, decided.at, decided.evidence)
    row = Row(decided.id, decided.model, decided.action, decided.before, after, *said)
    audit.append(client, row)
    intent.clear_pending(client, decided)
    return after


def _in_production(client: MlflowClient, decided: Intent) -> str:
    """Return the production version of the move's source. If production lacks it, one call copies it with its tags."""
    model, version = decided.source.rsplit("/", 1)
    if model == decided.model:
        return version
    known = version_with_digest(client, decided.model, decided.digest)
    with redirect_stderr(StringIO()):  # MLflow prints there what Stillhouse reports itself
        return str((known or client.copy_model_version(f"models:/{decided.source}", decided.model)).version)


def _notice(client: MlflowClient, production: str) -> None:
    """Audit a move of the champion that was made outside Stillhouse."""
    rows, champion = audit.rows_of(client, production), find_aliased(client, production, CHAMPION)
    known = rows[-1].after if rows else None
    if champion != known:
        deed = json_digest([production, len(rows), champion])
        why = "the alias champion was moved in MLflow, by hand or by another tool"
        audit.append(client, Row(deed, production, "external", known, champion, OUTSIDE, why, now(), {}))


def _before(client: MlflowClient, production: str, number: int) -> str:
    rows = audit.rows_of(client, production)
    row = next((row for row in rows if row.number == number), None)
    if row is None or row.before is None:
        what = "no such row" if row is None else "no champion before it"
        msg = f"row {number} of the audit of {production} cannot be reversed: there is {what}; see `stillhouse audit`"
        raise StillhouseError(msg)
    return row.before


def _ensure_model(client: MlflowClient, production: str) -> None:
    if not client.search_registered_models(f"name = '{production}'"):
        about = (
            "What is in production: the alias `champion` is live, `previous` is what a rollback goes back to. "
            f"Who decided, and why: the experiment `{audit.EXPERIMENT}`."
        )
        client.create_registered_model(production, description=about)


def now() -> str:
    """Return the current time in the audit's format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
