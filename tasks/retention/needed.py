"""Decide what is needed: a pure function of the facts of an MLflow and of the age from which things may go."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stillhouse.tasks.registry.versions import production_of
from stillhouse.tasks.retention.facts import Facts, StageRun, Version

DEAD_AFTER = 7 * 86400.0
"""Seconds without a sign of life after which a night that has not ended is taken for dead."""
PRODUCTION = production_of("")
REGISTER = "register"
TEACHER = "teacher"
DVC = ".dir"
"""End of the version of data that the DVC remote has."""


@dataclass(frozen=True)
class Needed:
    """What must stay."""

    runs: frozenset[str]
    """MLflow runs, with their artifacts."""
    versions: frozenset[str]
    """`MODEL/VERSION`."""
    keys: frozenset[str]
    """Keys of stages whose folders on this host a recent night reads."""
    contents: frozenset[str]
    """Digests of datasets that a recent night reads."""
    teachers: frozenset[str]
    """Digests of teachers whose cached outputs a recent night reads."""
    data_versions: Mapping[str, str]
    """Digest of a dataset -> its version in the DVC remote, as far as a night pulled it from there."""
    is_busy: bool
    """A stage is under way, so that caches of which MLflow does not know the readers must stay."""

    def __or__(self, other: "Needed") -> "Needed":
        """Join what two MLflows of one deployment need."""
        return Needed(
            self.runs | other.runs,
            self.versions | other.versions,
            self.keys | other.keys,
            self.contents | other.contents,
            self.teachers | other.teachers,
            {**self.data_versions, **other.data_versions},
            self.is_busy or other.is_busy,
        )


def find_needed(facts: Facts, cutoff: float, now: float) -> Needed:
    """Find what must stay.

    Args:
        facts: the facts of one MLflow.
        cutoff: nights and versions younger than this moment, in epoch seconds, are recent.
        now: the present moment.
    """
    nights = _by_night(facts.runs)
    recent = [run for runs in nights.values() if _is_recent(runs, cutoff, now) for run in runs]
    versions = _versions(facts, recent, cutoff)
    named = frozenset(run for each in facts.versions if each.name in versions for run in each.runs)
    whole = [run for night, runs in nights.items() if night in named for run in runs]
    kept = {run.run_id for run in (*recent, *whole)} | named | facts.named
    origins = {run.origin for run in facts.runs if run.run_id in kept and run.origin}
    return Needed(
        runs=frozenset(kept | origins),
        versions=frozenset(versions),
        keys=frozenset(run.key for run in recent if run.key),
        contents=frozenset(run.content for run in recent if run.content),
        teachers=frozenset(run.digest for run in recent if run.stage == TEACHER and run.digest),
        data_versions={run.content: run.data for run in facts.runs if run.content and run.data.endswith(DVC)},
        is_busy=any(run.stage and run.is_open and run.last > now - DEAD_AFTER for run in facts.runs),
    )


def runs_to_go(facts: Facts, needed: Needed) -> list[StageRun]:
    """List the runs that nothing needs, with those of stages before those of whole nights."""
    return sorted((run for run in facts.runs if run.run_id not in needed.runs), key=lambda run: not run.stage)


def versions_to_go(facts: Facts, needed: Needed) -> list[Version]:
    """List the versions that nothing needs."""
    return [each for each in facts.versions if each.name not in needed.versions]


def ages_of_nights(facts: Facts) -> list[float]:
    """List the last signs of life of all nights, oldest first."""
    return sorted(max(run.last for run in runs) for runs in _by_night(facts.runs).values())


def _by_night(runs: Iterable[StageRun]) -> Mapping[str, list[StageRun]]:
    found: dict[str, list[StageRun]] = {}
    for run in runs:
        found.setdefault(run.night, []).append(run)
    return found


def _is_recent(runs: Iterable[StageRun], cutoff: float, now: float) -> bool:
    """Tell whether a night is young, or has not ended and is not dead."""
    last = max(run.last for run in runs)
    return last > cutoff or (any(run.is_open for run in runs) and last > now - DEAD_AFTER)


def _versions(facts: Facts, recent: Iterable[StageRun], cutoff: float) -> set[str]:
    """Name the versions that must stay. A version that was promoted has its file in a production model."""
    promoted = {each.digest for each in facts.versions if each.model.endswith(PRODUCTION)} - {""}
    registered = {run.version for run in recent if run.stage == REGISTER and run.version}
    nights = {run.night for run in recent}
    return {
        each.name
        for each in facts.versions
        if not each.is_ours
        or each.has_alias
        or each.model.endswith(PRODUCTION)
        or each.digest in promoted
        or each.created > cutoff
        or each.name in facts.pending
        or each.runs & nights
        or each.number in registered
    }
