"""Read the pictures, recordings or texts of a folder that has one folder for each class."""

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from os.path import splitext
from pathlib import Path

from stillhouse.tasks.data.importing.sources.source import NOUNS, File, Kind, Row, Source, safe_id
from stillhouse.tasks.errors import DataError

SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
"""Endings of recordings."""
TEXT = ".txt"
"""Ending of a file that is a text."""
TOLD: dict[str | None, Kind] = {"audio-classification": "audio", "image-classification": "image"}
"""Task -> kind of its files, whatever their names end in."""


def open_class_folders(root: Path, task: str | None) -> Source:
    """Take each folder's name as a class, and the files in it, at any depth, as its pictures, recordings or texts.

    Hidden files, hidden folders and links are left out. If the task does not tell the kind, most endings do.

    Raises:
        DataError: a folder cannot be read.
    """
    try:
        names = class_names(root)
        files = (own for name in names for own in _files(f"{root}/{name}", name))
        endings = Counter(splitext(own)[1].lower() for own in files)  # noqa: PTH122 - a `Path` takes ten times as long
    except OSError as error:
        msg = f"{error.filename or root} cannot be read ({error.strerror}); mend its permissions"
        raise DataError(msg) from error
    total, kind = endings.total(), _kind(task, endings)
    read_as = f"{NOUNS[kind]}, a folder for each class: {len(names):,} classes, {total:,} files"
    rows = partial(_rows, root, names, kind)
    return Source(root.resolve().name, kind, read_as, rows, labelled=True, labels=names, total=total)


def _kind(task: str | None, endings: Counter[str]) -> Kind:
    if task in TOLD:
        return TOLD[task]
    half = endings.total() / 2
    if sum(endings[ending] for ending in SOUNDS) > half:
        return "audio"
    return "text" if endings[TEXT] > half else "image"


def class_names(root: Path) -> tuple[str, ...]:
    """List the folders of a folder, sorted by name."""
    with os.scandir(root) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def _rows(root: Path, names: tuple[str, ...], kind: Kind) -> Iterator[Row]:
    for name in names:
        for own in _files(f"{root}/{name}", name):
            known = safe_id(own)
            reason = "" if known == own else "its name is not valid UTF-8; rename it"
            if kind == "text" and not own.lower().endswith(TEXT):
                reason = f"it does not end in {TEXT}, as texts do; convert it, or take it out"
            yield Row(known, None if reason else File(f"{root}/{own}"), name, reason)


def _files(folder: str, own: str) -> Iterator[str]:
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
        yield from _files(f"{folder}/{name}", f"{own}/{name}")
