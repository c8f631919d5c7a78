"""Plan what may go from a deployment, tell it as a table, and delete it.

The decision and the marking happen under the lock of `in_use`, in seconds. Stages on other hosts do not see that lock.
So marked runs that such a stage has begun to reuse are restored. Bytes are deleted after that, and a collection that
was killed is finished by the next one.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.retention import airflow_rows, dvc_objects, host_folders, mlflow_store, server_logs
from stillhouse.tasks.retention.discard import delete, hide, size_of
from stillhouse.tasks.retention.facts import Facts, StageRun, Version, read_facts
from stillhouse.tasks.retention.host_folders import Item, find_items, list_leftovers
from stillhouse.tasks.retention.in_use import collecting
from stillhouse.tasks.retention.mlflow_store import Store, bytes_of_runs, delete_marked, list_marked, mark, unmark
from stillhouse.tasks.retention.needed import Needed, ages_of_nights, find_needed, runs_to_go, versions_to_go
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.connection import connect

DAY = 86400.0
DAYS = 30
"""Days for which everything stays, unless the caller says otherwise."""
RUNS, VERSIONS = "runs in MLflow, with their files", "versions in the registry"
LEFTOVERS, LOGS = "left by a killed collection", "logs of the servers"
ROWS, OBJECTS = "rows of Airflow", "objects of the DVC remote"
KINDS = (
    *(RUNS, VERSIONS, host_folders.OUTPUTS, host_folders.CHECKPOINTS, host_folders.DATASETS, host_folders.CACHES),
    *(host_folders.REPORTS, host_folders.TASK_LOGS, LOGS, ROWS, OBJECTS, host_folders.ENVIRONMENTS, LEFTOVERS),
)


@dataclass(frozen=True)
class Part:
    """What goes from one MLflow."""

    store: Store
    runs: list[StageRun]
    versions: list[Version]


@dataclass(frozen=True)
class Plan:
    """What goes from a deployment."""

    cutoff: float
    """Things younger than this moment, in epoch seconds, stay."""
    parts: list[Part]
    items: list[Item]
    needed: Needed
    """What all MLflows of the deployment need together."""

    @property
    def bytes(self) -> int:
        """Bytes that go from MLflow and from the folders of this host."""
        return sum(bytes_of_runs(part.store, part.runs) for part in self.parts) + sum(each.bytes for each in self.items)


@dataclass(frozen=True)
class Count:
    """How many things of one kind go, and their bytes; `None` if nobody knows them."""

    things: int = 0
    bytes: int | None = 0


@dataclass(frozen=True)
class Collected:
    """What went, or would go."""

    counts: dict[str, Count]
    cutoff: float
    before: int
    """Bytes of the state folder and of the reports, before."""
    notes: tuple[str, ...] = ()
    """One sentence for each part that was left as it is."""

    @property
    def bytes(self) -> int:
        """Bytes that went, or would go."""
        return sum(count.bytes or 0 for count in self.counts.values())


def collect(
    settings: Settings, *, days: float = DAYS, most_bytes: int | None = None, really: bool = False
) -> Collected:
    """Delete what nothing needs, or only count it.

    Args:
        settings: the deployment.
        days: nights, versions and files younger than this stay.
        most_bytes: if the deployment would still be larger than this, more of the oldest nights go, but none of the
            last day.
        really: delete; otherwise nothing changes.

    Raises:
        ServiceError: MLflow does not answer.
    """
    stores = _stores(settings)
    before = _size(settings)
    with collecting(settings.state):
        plan = _plan(settings, stores, days, None if most_bytes is None else before - most_bytes)
        counts = _count(settings, plan)
        if really:
            _make_unfindable(plan)
            _restore_claimed(plan)
    notes = _delete(settings, stores) if really else []
    for kind, clean in SERVICES.items():
        try:
            counts[kind] = clean(settings, plan, really)
        except StillhouseError as error:
            notes.append(str(error))
    return Collected(counts, plan.cutoff, before, tuple(notes))


def _stores(settings: Settings) -> list[Store]:
    """List the MLflows of a deployment. If no server was ever used, there is that of local runs only."""
    local = mlflow_store.open_local(settings)
    if local and not settings.tracking_uri and not (settings.state / "mlflow").exists():
        return [local]
    server = mlflow_store.open_server(settings, connect(settings.tracking_uri))
    return [server, local] if local and local.database != server.database else [server]


def _size(settings: Settings) -> int:
    inside = settings.runs.resolve().is_relative_to(settings.state.resolve())
    return size_of(settings.state) + (0 if inside else size_of(settings.runs))


def _plan(settings: Settings, stores: list[Store], days: float, too_many: int | None) -> Plan:
    """Plan by age. While that frees too few bytes, plan with the age of the next younger night."""
    now = time.time()
    facts = [read_facts(store.client) for store in stores]
    oldest, youngest = now - days * DAY, now - DAY
    ages = sorted(age for each in facts for age in ages_of_nights(each) if oldest < age < youngest)
    cutoffs = [oldest, *ages] if too_many is not None else [oldest]
    for cutoff in cutoffs:
        plan = _plan_for(settings, stores, facts, cutoff, now)
        if too_many is None or plan.bytes >= too_many:
            break
    return plan


def _plan_for(settings: Settings, stores: list[Store], facts: list[Facts], cutoff: float, now: float) -> Plan:
    needed = [find_needed(each, cutoff, now) for each in facts]
    together = reduce(or_, needed)
    parts = [
        Part(store, runs_to_go(known, own), versions_to_go(known, own))
        for store, known, own in zip(stores, facts, needed, strict=True)
    ]
    return Plan(cutoff, parts, list(find_items(settings, together, cutoff)), together)


def _count(settings: Settings, plan: Plan) -> dict[str, Count]:
    left, logs = list_leftovers(settings), server_logs.long_logs(settings)
    marked = sum(len(list_marked(part.store)) for part in plan.parts)
    counts = {kind: Count() for kind in KINDS} | {
        RUNS: _add(Count(len(part.runs), bytes_of_runs(part.store, part.runs)) for part in plan.parts),
        VERSIONS: Count(sum(len(part.versions) for part in plan.parts), 0),
        LEFTOVERS: Count(len(left) + marked, sum(map(size_of, left))),
        LOGS: Count(len(logs), sum(map(server_logs.bytes_to_go, logs))),
    }
    for item in plan.items:
        counts[item.kind] = _add([counts[item.kind], Count(1, item.bytes)])
    return counts


def _add(counts: Iterable[Count]) -> Count:
    each = list(counts)
    return Count(sum(count.things for count in each), sum(count.bytes or 0 for count in each))


def _make_unfindable(plan: Plan) -> None:
    """Hide the folders, take the versions out of the registry and mark the runs. No stage finds them after that."""
    for item in plan.items:
        hide(item.path)
    for part in plan.parts:
        mark(part.store, part.versions, part.runs)


def _restore_claimed(plan: Plan) -> None:
    """Restore runs that stages on other hosts have begun to reuse since the plan was made.

    Such a stage notes which run it reuses, and looks for the mark after that. So it does not reuse a run whose note
    this does not see.
    """
    for part in plan.parts:
        unmark(part.store, find_needed(read_facts(part.store.client), plan.cutoff, time.time()).runs)


def _delete(settings: Settings, stores: list[Store]) -> list[str]:
    """Delete what is hidden and marked. Returns a sentence for each MLflow in which that is not possible from here."""
    notes = list[str]()
    for path in list_leftovers(settings):
        delete(path)
    for log in server_logs.long_logs(settings):
        server_logs.shorten(log)
    for store in stores:
        try:
            delete_marked(store)
        except ServiceError as error:
            notes.append(str(error))
    return notes


def _clean_rows(settings: Settings, plan: Plan, really: bool) -> Count:  # noqa: FBT001 - as SERVICES calls it
    return Count(airflow_rows.clean_rows(settings, plan.cutoff, delete=really), None)


def _clean_objects(settings: Settings, plan: Plan, really: bool) -> Count:  # noqa: FBT001 - likewise
    versions = set(plan.needed.data_versions.values())
    return Count(*dvc_objects.clean_objects(settings, versions, delete=really))


SERVICES: Mapping[str, Callable[[Settings, Plan, bool], Count]] = {ROWS: _clean_rows, OBJECTS: _clean_objects}


def table(found: Collected) -> list[str]:
    """Return what went or would go, as lines of text."""
    rows = [(kind, f"{count.things:,}", _bytes(count.bytes)) for kind, count in found.counts.items()]
    rows.append(("together", "", _bytes(found.bytes)))
    return [f"{kind:34} {things:>9} {size:>12}" for kind, things, size in [("kind", "number", "bytes"), *rows]]


def _bytes(number: int | None) -> str:
    return "" if number is None else f"{number / 1e6:,.1f} MB"


def refuse_too_large(found: Collected, most_bytes: int) -> None:
    """Raise an error if the deployment is too large, although all went that may go.

    Raises:
        ServiceError: it names the bytes that are left.
    """
    left = found.before - found.bytes
    if left > most_bytes:
        msg = (
            f"{left / 1e6:,.1f} MB are needed and would stay, more than the {most_bytes / 1e6:,.1f} MB that were asked "
            "for; allow more, or put the state folder on a larger disk"
        )
        raise ServiceError(msg)
