"""Check the folders of a deployment before any work: servers accept their names, and this user may write there."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from stillhouse.tasks.errors import StillhouseError

UNFIT = frozenset("?%$:") | {chr(code) for code in range(32)}
"""Characters that Airflow or MLflow misread in a path. They would keep their databases elsewhere."""


def expect_folders(folders: Mapping[str, Path], state: Path) -> None:
    """Check that our servers accept the folders' names and that this user can work in the folders.

    Args:
        folders: name of the environment variable -> the folder that it names.
        state: the folder that holds the servers' files.

    Raises:
        StillhouseError: a folder fails the check. The message names the folder and the remedy.
    """
    for name, folder in folders.items():
        _expect_fit(name, folder)
    for name, folder in folders.items():
        if name != "STILLHOUSE_ROOT":
            _expect_writable(name, folder)
    for path in _own_files(state):
        if _is_closed(path):
            msg = f"{path} belongs to {_owner(path)}; give it back (chown), or set STILLHOUSE_STATE to another folder"
            raise StillhouseError(msg)


def _expect_fit(name: str, folder: Path) -> None:
    if unfit := sorted(UNFIT & set(str(folder))):
        msg = (
            f"the path {str(folder)!r} has {unfit[0]!r} in it, which Airflow or MLflow read as something else; "
            f"move the folder, or set {name} to one without"
        )
        raise StillhouseError(msg)
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        msg = f"the path {str(folder)!r} is not UTF-8; move the folder, or set {name} to one that is"
        raise StillhouseError(msg) from error


def _expect_writable(name: str, folder: Path) -> None:
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
    except PermissionError as error:
        nearest = Path(error.filename).parent
    if not nearest.is_dir():
        msg = f"{nearest} is not a folder; set {name} to one"
    elif not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        msg = f"{nearest} of {_owner(nearest)} cannot be read and written; mend that, or set {name} to another folder"
    else:
        return
    raise StillhouseError(msg)


def _own_files(state: Path) -> Iterable[Path]:
    """Return the files that every command or server writes first."""
    for pattern in ("*", "logs/*", "keys/*", "mlflow/mlflow.db", "airflow/airflow.db", "airflow/airflow.cfg"):
        yield from state.glob(pattern)


def _is_closed(path: Path) -> bool:
    """Tell whether a file belongs to another user and cannot be written."""
    try:
        return path.stat(follow_symlinks=False).st_uid != os.getuid() and not os.access(path, os.W_OK)
    except FileNotFoundError:  # renamed or deleted in between
        return False


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "another user"
