"""Import a folder of pictures: decode, deal to splits, write, push to the DVC remote, pin in data.dvc."""

import csv
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stillhouse.models.aside import write_aside
from stillhouse.tasks.artifacts.locks import exclusive
from stillhouse.tasks.data.importing.deal import Dealt, deal
from stillhouse.tasks.data.importing.scan import Listing, scan
from stillhouse.tasks.data.importing.spool import Shape, spool
from stillhouse.tasks.data.importing.write import write_splits
from stillhouse.tasks.data.store.build_data import PLANS, push_folder
from stillhouse.tasks.data.store.remote import list_folder, open_remote
from stillhouse.tasks.data.store.revision import POINTER, repin
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import NAME
from stillhouse.tasks.settings import Settings

REJECTED = "rejected.csv"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """The dataset that a user wants."""

    name: str
    folder: Path
    """A folder that has one folder of pictures for each class."""
    shape: Shape
    """Channels, height and width of the pictures in the dataset."""
    licence: str
    """The pictures' licence, in a line."""


@dataclass(frozen=True)
class Imported:
    """What an import made."""

    counts: dict[str, int]
    """Split -> number of pictures."""
    labels: tuple[str, ...]
    rejected: int
    report: Path
    """CSV file: each file that was left out, and why."""


def import_folder(settings: Settings, wanted: Wanted, progress: Progress) -> Imported:
    """Make or replace a dataset of a user's own pictures.

    Raises:
        DataError: the folder, the name or the pictures cannot be used. Nothing is pinned then.
        ServiceError: the remote cannot be used.
    """
    if not re.fullmatch(NAME, wanted.name) or wanted.name in PLANS:
        why = "is a dataset that this project builds" if wanted.name in PLANS else "is no name for a dataset"
        msg = f"{wanted.name} {why}; choose another name of small letters, digits and underscores"
        raise DataError(msg)
    work = settings.state / "imports" / wanted.name
    work.mkdir(parents=True, exist_ok=True)
    with exclusive(work / ".lock", f"the import of {wanted.name}"):
        return _import(settings, wanted, scan(wanted.folder), work, progress)


def _import(settings: Settings, wanted: Wanted, listing: Listing, work: Path, progress: Progress) -> Imported:
    chunks = list(spool(listing, wanted.shape, work, progress))
    unreadable = dict(_columns(chunks, "reason"))
    dealt = deal(_rows(chunks), listing.labels)
    rejected = unreadable | dealt.rejected
    _write_rejected(work / REJECTED, rejected)
    progress("writing the splits")
    (settings.root / "data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".importing-", dir=settings.root / "data") as scratch:
        counts = write_splits(Path(scratch), _about(wanted, listing, chunks), _dealt_rows(chunks, dealt))
        _pin(settings, wanted.name, Path(scratch), progress)
    for chunk in work.glob("*.parquet"):
        chunk.unlink()
    return Imported(counts, listing.labels, len(rejected), work / REJECTED)


def _about(wanted: Wanted, listing: Listing, chunks: list[Path]) -> dict[str, Any]:
    return {
        "name": wanted.name,
        "licence": wanted.licence,
        "sources": [{"name": listing.root.resolve().name, "sha256": _digest_of(chunks)}],
        "image_shape": list(wanted.shape),
        "dtype": "uint8",
        "value_range": [0, 255],
        "labels": list(listing.labels),
    }


def _pin(settings: Settings, name: str, made: Path, progress: Progress) -> None:
    """Put the dataset into `data/`, push it and pin it. Until data.dvc is written, nothing reads it."""
    folder = settings.root / "data" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
    listing = list_folder(folder)
    push_folder(folder, listing, open_remote(settings), progress)
    pointer = settings.root / POINTER
    content = repin(pointer.read_text(encoding="utf-8"), settings.root, name, listing)
    with write_aside(pointer) as aside:
        aside.write_text(content, encoding="utf-8")


def _dealt_rows(chunks: list[Path], dealt: Dealt) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        for row in pq.read_table(chunk).to_pylist():
            if split := dealt.split_of.get(row["path"]):
                yield row | {"id": row["path"], "split": split}


def _rows(chunks: list[Path]) -> Iterator[tuple[str, int, str]]:
    for chunk in chunks:
        table = pq.read_table(chunk, columns=["path", "label", "sha256"])
        for row in table.to_pylist():
            if row["sha256"]:
                yield row["path"], row["label"], row["sha256"]


def _columns(chunks: list[Path], name: str) -> Iterator[tuple[str, str]]:
    for chunk in chunks:
        for row in pq.read_table(chunk, columns=["path", name]).to_pylist():
            if row[name]:
                yield row["path"], row[name]


def _digest_of(chunks: list[Path]) -> str:
    """Return a digest of all files by path and pixels."""
    lines = [f"{path}\0{digest}" for path, digest in _columns(chunks, "sha256")]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _write_rejected(path: Path, rejected: dict[str, str]) -> None:
    with write_aside(path) as aside, aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "reason"))
        writer.writerows(sorted(rejected.items()))
