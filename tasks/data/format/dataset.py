"""The format of one dataset folder: Parquet shards, a manifest, optional captions, and dataset.json with their digests.

This module writes the format and checks a folder against its digests. `tasks.stages.validate` checks the content.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.models.data.description import describe, with_split_names
from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.data.format.layout import Layout, layout_of
from stillhouse.tasks.errors import DataError

DESCRIPTION = "dataset.json"
MANIFEST = "manifest.parquet"
LICENCE = "LICENSE.txt"
SPLITS = ("train", "calibration", "validation", "gate", "test")
JOINED = 4_096
"""Digests that are joined at once."""
# Every option that changes bytes is set here, so that new defaults of pyarrow do not change the digest.
OPTIONS: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": False,
    "write_statistics": False,
    "data_page_version": "1.0",
    "version": "2.6",
}
"""Options of every Parquet file of a dataset."""


@dataclass(frozen=True)
class Example:
    """One labelled image."""

    id: str
    """Split and index in the source, such as `train/000123`."""
    image: bytes
    """The original pixels, row-major."""
    label: int

    @property
    def sha256(self) -> str:
        """Digest of the pixels only, so that equal images are found under any id or label."""
        return hashlib.sha256(self.image).hexdigest()


@dataclass(frozen=True)
class Measured:
    """One array with its regression target."""

    id: str
    array: bytes
    """The numbers, row-major, in the dataset's type."""
    target: float

    @property
    def sha256(self) -> str:
        """Digest of the numbers only, so that equal arrays are found under any id or target."""
        return hashlib.sha256(self.array).hexdigest()


@dataclass(frozen=True)
class Recording:
    """One spoken caption."""

    id: str
    """The label in words and the language, such as `animals/birds/duck/fr`."""
    audio: bytes
    """The bytes of the original file."""
    label: int
    language: str

    @property
    def sha256(self) -> str:
        """Digest of the file only, so that equal recordings are found under any id or label."""
        return hashlib.sha256(self.audio).hexdigest()


@dataclass(frozen=True)
class Utterance:
    """One recording with its transcript."""

    id: str
    """Voice and name of the recording, such as `stamps-fr/animals/birds/duck`."""
    audio: bytes
    """The bytes of the original file."""
    text: str
    """The words, in the form of `models.data.transcripts`."""
    label: int
    """The group. Recordings of one group are in the same split."""
    language: str
    voice: str

    @property
    def sha256(self) -> str:
        """Digest of the file only, so that equal recordings are found under any id or text."""
        return hashlib.sha256(self.audio).hexdigest()


@dataclass(frozen=True)
class Caption:
    """The name of a label in one language."""

    label: int
    language: str
    name: str
    tags: list[str]
    """Other words for the label."""
    split: str | None = None
    """The caption's split. If `None`, captions have no splits and every caption is for training."""


@dataclass(frozen=True)
class Prompt:
    """A sentence that asks for a picture of a label. If the data have styles, a picture's id begins with its style."""

    text: str
    label: int
    split: str
    style: str = ""
    """Style of the picture, if the dataset has styles."""


Stored = Example | Measured | Recording | Utterance
"""What the splits of a dataset may hold."""


def write_dataset(
    folder: Path,
    about: Mapping[str, Any],
    licence_text: bytes,
    splits: Mapping[str, Sequence[Stored]],
    beside: Mapping[str, Sequence[Caption | Example | Utterance | Prompt]],
) -> None:
    """Fill an empty folder with one dataset; dataset.json is written last.

    Args:
        folder: an existing folder for the dataset.
        about: the fields of dataset.json that do not describe files: name, licence, sources, image_shape, dtype,
            value_range, labels, languages (with captions), sample_rates (with recordings). A dataset of arrays has
            array_shape and target_range instead of image_shape and labels. A dataset of utterances has transcripts and
            voices, and no image_shape, dtype and value_range.
        licence_text: the publisher's licence, byte for byte.
        splits: split -> its examples or recordings, in the order in which they are stored.
        beside: files that belong to no split: captions (the labels in words), prompts (sentences that ask for a label),
            a gallery (one picture per label), or the utterances of an unseen voice. If there are no rows, the file is
            not written.
    """
    manifest: list[dict[str, Any]] = []
    layout = layout_of(about)
    described = {split: _write_split(folder, split, examples, manifest, layout) for split, examples in splits.items()}
    write_table(folder / MANIFEST, manifest, layout.manifest)
    (folder / LICENCE).write_bytes(licence_text)
    pinned = {
        "splits": described,
        "manifest": {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)},
        "licence_file": {"path": LICENCE, "sha256": file_digest(folder / LICENCE)},
    }
    written = {name: _write_rows(folder, name, rows, layout.beside[name]) for name, rows in beside.items() if rows}
    write_json(folder / DESCRIPTION, {**about, **pinned, **written})


def extend_dataset(base: Path, folder: Path, examples: Sequence[Example], source: Mapping[str, str]) -> None:
    """Fill an empty folder with an image dataset that extends the training split of another; dataset.json is last.

    The other splits and all files except the manifest stay unchanged. The new examples get their own shards.

    Args:
        base: folder of the dataset that is extended.
        folder: an existing folder for the new dataset.
        examples: examples to add to the split `train`.
        source: name and sha256 of the source of the new examples.
    """
    described = read_description(base)
    layout, train = layout_of(described), described["splits"]["train"]
    for name, _ in _pinned_files(described):
        shutil.copyfile(base / name, folder / name)
    manifest: list[dict[str, Any]] = read_manifest(base)
    added = _write_split(folder, "train", examples, manifest, layout, first=len(train["shards"]))
    write_table(folder / MANIFEST, manifest, layout.manifest)
    described["splits"]["train"] = {
        "count": train["count"] + added["count"],
        "digest": split_digest([row["sha256"] for row in manifest if row["split"] == "train"]),
        "shards": train["shards"] + added["shards"],
    }
    described["manifest"]["sha256"] = file_digest(folder / MANIFEST)
    described["sources"].append(dict(source))
    write_json(folder / DESCRIPTION, described)


def split_digest(digests: Sequence[str]) -> str:
    """SHA-256 over the sorted digests of a split's content. Order and sharding do not change it."""
    digest, ordered = hashlib.sha256(), sorted(digests)
    for start in range(0, len(ordered), JOINED):
        digest.update(("\n" if start else "").encode() + "\n".join(ordered[start : start + JOINED]).encode())
    return digest.hexdigest()


def read_description(folder: Path) -> dict[str, Any]:
    """Read dataset.json.

    Raises:
        DataError: dataset.json is missing or does not describe a dataset.
    """
    try:
        described = describe(folder)
        list(_pinned_files(described))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{folder / DESCRIPTION} is missing or does not describe a dataset; build it again with `stillhouse data`"
        raise DataError(msg) from error
    return described


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Read the manifest, one mapping a stored example."""
    rows: list[dict[str, Any]] = with_split_names(pq.read_table(folder / MANIFEST)).to_pylist()
    return rows


def fault_of(folder: Path, digest: str) -> str:
    """Check every byte of a dataset folder; returns the first wrong file and its fault, or an empty string."""
    if _sha256(folder / DESCRIPTION) != digest:
        return f"{DESCRIPTION} is missing or altered"
    for name, expected in _pinned_files(read_description(folder)):
        if _sha256(folder / name) != expected:
            return f"{name} is missing, truncated or altered"
    return ""


def _pinned_files(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    required = (described["manifest"], described["licence_file"])
    others = [value for value in described.values() if isinstance(value, Mapping) and "path" in value]
    shards = [shard for split in described["splits"].values() for shard in split["shards"]]
    for file in (*required, *(other for other in others if other not in required), *shards):
        yield file["path"], file["sha256"]


def _sha256(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return "unreadable"


def _write_split(  # noqa: PLR0913 - one call, every argument named
    folder: Path,
    split: str,
    examples: Sequence[Stored],
    manifest: list[dict[str, Any]],
    layout: Layout,
    *,
    first: int = 0,
) -> dict[str, Any]:
    """Write the shards of a split, numbered from `first`, and add its rows to the manifest."""
    digests = [example.sha256 for example in examples]
    shards = []
    for number, start in enumerate(range(0, len(examples), layout.shard_rows), start=first):
        name = f"{split}-{number:03d}.parquet"
        rows = [vars(example) for example in examples[start : start + layout.shard_rows]]
        write_table(folder / name, rows, layout.shard)
        shards.append({"path": name, "rows": len(rows), "sha256": file_digest(folder / name)})
        manifest += [
            {**values, "split": split, "shard": name, "row": row, "sha256": digests[start + row]}
            for row, values in enumerate(rows)
        ]
    return {"count": len(examples), "digest": split_digest(digests), "shards": shards}


def _write_rows(
    folder: Path, name: str, rows: Sequence[Caption | Example | Utterance | Prompt], schema: pa.Schema
) -> dict[str, Any]:
    path = folder / f"{name}.parquet"
    write_table(path, [vars(row) for row in rows], schema)
    return {"path": path.name, "rows": len(rows), "sha256": file_digest(path)}


def write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows to a Parquet file; columns that the schema does not have are left out."""
    store_table(path, pa.Table.from_pylist(rows, schema))


def store_table(path: Path, table: pa.Table) -> None:
    """Write a table to a Parquet file, with the same bytes on every machine."""
    pq.write_table(table, path, **OPTIONS)
