"""What may go from the folders of this host: stage outputs, checkpoints, datasets, caches, reports and logs.

Everything here can be made or fetched again, except reports and logs, which go by age alone. Folders of which a recipe
may name a file (`conversions/`, `recognisers/`, `imports/`, `ladders/`) and what people bring or must keep (`inbox/`,
`keys/`) are not looked at.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.artifacts.locks import exclusive
from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.data.store.remote import list_folder, listing_md5, open_remote
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.foreign.environment import EXECUTORCH, OPENVINO, TENSORFLOW, TIMM, environment_folder
from stillhouse.tasks.reporting.report import REPORT, SUMMARY
from stillhouse.tasks.retention.discard import last_change, list_hidden, size_of
from stillhouse.tasks.retention.dvc_objects import ever_pinned
from stillhouse.tasks.retention.needed import Needed
from stillhouse.tasks.settings import Settings

DIGEST = re.compile(r"\.?([0-9a-f]{64})\b.*")
OUTPUTS, CHECKPOINTS, DATASETS = "stage outputs on this host", "checkpoints", "datasets on this host"
CACHES, ENVIRONMENTS = "caches", "environments of other runtimes"
REPORTS, TASK_LOGS = "reports", "task logs of Airflow"
LOCKS = (TENSORFLOW, OPENVINO, EXECUTORCH, TIMM)


@dataclass(frozen=True)
class Item:
    """A folder or file that may go."""

    kind: str
    path: Path
    bytes: int


def find_items(settings: Settings, needed: Needed, cutoff: float) -> Iterator[Item]:
    """Find what may go from this host.

    Args:
        settings: the deployment.
        needed: what the nights of all its MLflows need.
        cutoff: a path that changed after this moment, in epoch seconds, stays.
    """
    for kind, paths in _candidates(settings, needed).items():
        for path in paths:
            if last_change(path) <= cutoff and (kind != DATASETS or _is_restorable(settings, path, needed)):
                yield Item(kind, path, size_of(path))


def _candidates(settings: Settings, needed: Needed) -> dict[str, list[Path]]:
    """Return kind -> the paths that no recent night needs, whatever their age."""
    state, shared = settings.state, settings.state / "shared"
    found = {
        OUTPUTS: _not_named(settings.artifacts, needed.keys),
        CHECKPOINTS: _not_named(state / "scratch", needed.keys),
        ENVIRONMENTS: _unused_environments(settings),
        REPORTS: [path for path in _folders(settings.runs) if _is_report(path, settings.runs / "latest")],
        TASK_LOGS: [*state.glob("airflow/logs/dag_id=*/run_id=*"), *state.glob("airflow/logs/dag_processor/2*")],
    }
    caches = [*_folders(shared / "models"), *_folders(shared / "tried"), *_unlocked(state / "reproduce")]
    if not needed.is_busy:  # a stage reads these, and MLflow does not know which
        found[DATASETS] = _not_named(settings.data_cache, needed.contents)
        caches += _not_named(shared / "teacher_answers", needed.teachers)
    return found | {CACHES: caches}


def list_leftovers(settings: Settings) -> list[Path]:
    """List what an earlier collection hid and did not delete, because it was killed."""
    state, shared = settings.state, settings.state / "shared"
    folders = [settings.artifacts, state / "scratch", settings.data_cache, state / "environments", settings.runs]
    folders += [state / "reproduce", *(shared / name for name in ("models", "tried", "teacher_answers"))]
    folders += [*state.glob("airflow/logs/dag_id=*"), state / "airflow" / "logs" / "dag_processor"]
    return [path for folder in folders for path in list_hidden(folder)]


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder that are neither hidden nor links."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")]


def _not_named(folder: Path, needed: Iterable[str]) -> list[Path]:
    """List the folders whose name begins with another digest. The hidden folder of a killed stage has its key too."""
    wanted, found = set(needed), list[Path]()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = DIGEST.fullmatch(path.name)
        if match and match[1] not in wanted and path.is_dir() and not path.is_symlink():
            found.append(path)
    return found


def _unused_environments(settings: Settings) -> list[Path]:
    """List the environments of locks that this code no longer has."""
    used = {environment_folder(settings, lock) for lock in LOCKS}
    return [path for path in _folders(settings.state / "environments") if path not in used]


def _is_report(path: Path, latest: Path) -> bool:
    """Tell whether a folder is the report of a night, and not the newest one."""
    return (path / SUMMARY).is_file() and (path / REPORT).is_file() and path.resolve() != latest.resolve()


def _unlocked(folder: Path) -> list[Path]:
    """List the folders of reproductions that ended without success and are not under way."""
    found: list[Path] = []
    for path in _folders(folder):
        try:
            with exclusive(path.with_suffix(".lock"), "the reproduction"):
                found.append(path)
        except ServiceError:
            continue
    return found


def _is_restorable(settings: Settings, folder: Path, needed: Needed) -> bool:
    """Tell whether a commit pins a dataset and the DVC remote has every file of it. Other data stays for ever."""
    try:
        remote = open_remote(settings)
        md5 = needed.data_versions.get(folder.name) or listing_md5(list_folder(folder))
        if md5 not in ever_pinned(settings.root):
            return False
        with tempfile.TemporaryDirectory() as scratch:
            files = remote.listing(read_description(folder)["name"], md5, Path(scratch))
        return all(remote.holds(oid) for oid in files.values())
    except (StillhouseError, OSError, ValueError, KeyError):
        return False
