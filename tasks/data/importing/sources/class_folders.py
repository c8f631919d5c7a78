"""Read the pictures of a folder that has one folder for each class."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stillhouse.tasks.data.importing.sources.source import Row, Source, safe_id
from stillhouse.tasks.errors import DataError


def open_class_folders(root: Path) -> Source:
    """Take each folder's name as a class, and the files in it, at any depth, as its pictures.

    Hidden files, hidden folders and links are left out.

    Raises:
        DataError: a folder cannot be read.
    """
    try:
        names = class_names(root)
        total = sum(1 for name in names for _ in _files(root / name))
    except OSError as error:
        msg = f"{error.filename or root} cannot be read ({error.strerror}); mend its permissions"
        raise DataError(msg) from error
    read_as = f"pictures, a folder for each class: {len(names):,} classes, {total:,} files"
    rows = partial(_rows, root, names)
    return Source(root.resolve().name, "image", read_as, rows, labelled=True, labels=names, total=total)


def class_names(root: Path) -> tuple[str, ...]:
    """List the folders of a folder, sorted by name."""
    with os.scandir(root) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def _rows(root: Path, names: tuple[str, ...]) -> Iterator[Row]:
    for name in names:
        for path in _files(root / name):
            own = os.path.relpath(path, root)
            known = safe_id(own)
            reason = "" if known == own else "its name is not valid UTF-8; rename it"
            yield Row(known, None if reason else Path(path), name, reason)


def _files(folder: Path) -> Iterator[str]:
    """List regular files at any depth, folder by folder and sorted in each."""
    for place, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(place, name)  # noqa: PTH118 - a Path for each of a million files is slow
            if not name.startswith(".") and os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113, PTH114
                yield path


def _fail(error: OSError) -> None:
    raise error
