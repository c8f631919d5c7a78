"""Delete folders and files so that a half-deleted one is never taken for whole.

A path is renamed to a hidden name first, in one step. Nothing looks for the hidden name but the next collection, which
deletes what an earlier one left when it was killed.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".collected"


def hide(path: Path) -> Path:
    """Rename a path so that nothing finds it any more. Returns the new path."""
    return path.rename(path.with_name(f".{path.name[:64]}.{secrets.token_hex(4)}{SUFFIX}"))


def list_hidden(folder: Path) -> list[Path]:
    """List what was hidden in a folder and is not deleted yet."""
    return sorted(folder.glob(f".*{SUFFIX}"))


def delete(path: Path) -> None:
    """Delete a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Add the bytes of a file, or of all files below a folder. A file that vanishes meanwhile counts nothing."""
    return sum(status.st_size for status, is_file in _statuses(path) if is_file)


def last_change(path: Path) -> float:
    """Return the newest time of change of a path and of everything below it, in epoch seconds."""
    return max((status.st_mtime for status, _ in _statuses(path)), default=0.0)


def _statuses(path: Path) -> Iterator[tuple[os.stat_result, bool]]:
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    for each in (path, *below):
        try:
            yield each.stat(follow_symlinks=False), each.is_file()
        except FileNotFoundError:
            continue
