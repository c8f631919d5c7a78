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
        total = sum(1 for name in names for _ in _files(root / name, name))
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
        for own in _files(root / name, name):
            known = safe_id(own)
            reason = "" if known == own else "its name is not valid UTF-8; rename it"
            yield Row(known, None if reason else root / own, name, reason)


def _files(folder: Path, own: str) -> Iterator[str]:
    """List the regular files at any depth by their paths, of which `own` leads to the folder; sorted in each folder."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                if entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
    yield from (f"{own}/{name}" for name in sorted(files))
    for name in sorted(folders):
        yield from _files(folder / name, f"{own}/{name}")
