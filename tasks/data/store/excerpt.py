"""Write a dataset that has some rows of every split of a larger one: a few, or the recordings of some languages."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.models.data.description import with_split_names
from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.data.format.dataset import DESCRIPTION, LICENCE, MANIFEST, OPTIONS, read_description, split_digest
from stillhouse.tasks.data.format.layout import UNSEEN_VOICE, is_transcribed
from stillhouse.tasks.errors import DataError

Described = Mapping[str, Any]
Numbers = NDArray[np.int64]
LABELS = 64
"""Labels that an excerpt keeps of a dataset with captions."""


def write_excerpt(dataset: Path, folder: Path, most: int) -> str:
    """Fill an empty folder with an excerpt. The list of labels, the gallery and the prompts stay whole.

    In a dataset with captions, all splits have the rows of the same few labels, and the captions are theirs.

    Args:
        dataset: folder of a dataset, for reading only.
        folder: an existing folder for the excerpt.
        most: maximum rows of a split, and of an unseen voice.

    Returns:
        The SHA-256 of the excerpt's dataset.json, by which the later stages know it.
    """
    described = dict(read_description(dataset))
    manifest = with_split_names(pq.read_table(dataset / MANIFEST))
    labels = _spread(len(described["labels"]), LABELS) if "captions" in described else None
    places = {name: _choose(manifest, name, labels, most) for name in described["splits"]}
    if labels is not None:
        described["captions"] = _write_captions(dataset, folder, described["captions"], labels)
    return _write(dataset, folder, described, places, lambda unseen: _spread(len(unseen), most))


def write_languages(dataset: Path, folder: Path, languages: Sequence[str]) -> str:
    """Fill an empty folder with the recordings of some languages. The groups and the letters stay those of all.

    Args:
        dataset: folder of a dataset with transcripts, for reading only.
        folder: an existing folder for the new dataset.
        languages: languages of the dataset.

    Returns:
        The SHA-256 of the new dataset.json.

    Raises:
        DataError: the dataset has no transcripts, or not these languages.
    """
    described = dict(read_description(dataset))
    expect_languages(described, languages)
    manifest = pq.read_table(dataset / MANIFEST)
    own, splits = _of_languages(manifest, languages), np.array(manifest["split"].to_pylist())
    places = {name: own[splits[own] == name] for name in described["splits"]}
    described["languages"] = [name for name in described["languages"] if name in languages]
    return _write(dataset, folder, described, places, lambda unseen: _of_languages(unseen, languages))


def expect_languages(described: Described, languages: Sequence[str]) -> None:
    """Check that a dataset's recordings can be chosen by these languages.

    Raises:
        DataError: the dataset has no transcripts, or not these languages.
    """
    name = described["name"]
    if not is_transcribed(described):
        msg = f"data.languages chooses recordings with transcripts, and {name} has none; remove it from the recipe"
        raise DataError(msg)
    if unknown := sorted({*languages} - {*described["languages"]}):
        has = ", ".join(described["languages"])
        msg = f"{name} has no recordings in {', '.join(unknown)}; choose data.languages of the recipe from {has}"
        raise DataError(msg)


def _of_languages(table: pa.Table, languages: Sequence[str]) -> Numbers:
    return np.flatnonzero(np.isin(table["language"].to_pylist(), languages))


def _write(
    dataset: Path,
    folder: Path,
    described: dict[str, Any],
    places: Mapping[str, Numbers],
    choose_unseen: Callable[[pa.Table], Numbers],
) -> str:
    """Write the chosen rows of every split, the files beside the splits, and dataset.json. Returns its SHA-256."""
    manifest = with_split_names(pq.read_table(dataset / MANIFEST))
    kept = {name: manifest.take(places[name]) for name in described["splits"]}
    described["splits"] = {
        name: _write_split(dataset, folder, name, split, kept[name]) for name, split in described["splits"].items()
    }
    pq.write_table(pa.concat_tables(_placed(name, rows) for name, rows in kept.items()), folder / MANIFEST, **OPTIONS)
    described["manifest"] = {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)}
    if UNSEEN_VOICE in described:
        path = described.pop(UNSEEN_VOICE)["path"]
        unseen = pq.read_table(dataset / path)
        if len(chosen := choose_unseen(unseen)):
            described[UNSEEN_VOICE] = _write_beside(folder, path, unseen.take(chosen))
    for name in (LICENCE, *(described[part]["path"] for part in ("gallery", "prompts") if part in described)):
        copyfile(dataset / name, folder / name)
    write_json(folder / DESCRIPTION, described)
    return file_digest(folder / DESCRIPTION)


def _spread(count: int, most: int) -> Numbers:
    """Return at most `most` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _choose(manifest: pa.Table, split: str, labels: Numbers | None, most: int) -> Numbers:
    """Return the places in the manifest of the rows that the excerpt keeps of a split."""
    own = np.array(manifest["split"].to_pylist()) == split
    if labels is not None:
        own &= np.isin(manifest["label"].to_numpy(), labels)
    places = np.flatnonzero(own)
    return places[_spread(len(places), most)] if len(places) else places


def _write_split(dataset: Path, folder: Path, name: str, split: Described, kept: pa.Table) -> dict[str, Any]:
    """Write one shard with the chosen rows of a split, given these rows of the manifest."""
    starts, rows = {}, 0
    for shard in split["shards"]:
        starts[shard["path"]], rows = rows, rows + shard["rows"]
    inside = [starts[path] + row for path, row in zip(kept["shard"].to_pylist(), kept["row"].to_pylist(), strict=True)]
    path = folder / _shard(name)
    pq.write_table(pq.read_table([dataset / shard for shard in starts]).take(inside), path, **OPTIONS)
    digest = split_digest(kept["sha256"].to_pylist())
    return {
        "count": len(kept),
        "digest": digest,
        "shards": [{"path": path.name, "rows": len(kept), "sha256": file_digest(path)}],
    }


def _placed(split: str, kept: pa.Table) -> pa.Table:
    """Return rows of the manifest with their place in the new shard."""
    places = {"shard": pa.array([_shard(split)] * len(kept)), "row": pa.array(range(len(kept)), pa.int64())}
    for name, column in places.items():
        kept = kept.set_column(kept.schema.get_field_index(name), name, column)
    return kept


def _shard(split: str) -> str:
    return f"{split}-000.parquet"


def _write_captions(dataset: Path, folder: Path, captions: Described, labels: Numbers) -> dict[str, Any]:
    table = pq.read_table(dataset / captions["path"])
    kept = table.take(np.flatnonzero(np.isin(table["label"].to_numpy(), labels)))
    return _write_beside(folder, captions["path"], kept)


def _write_beside(folder: Path, path: str, table: pa.Table) -> dict[str, Any]:
    pq.write_table(table, folder / path, **OPTIONS)
    return {"path": path, "rows": len(table), "sha256": file_digest(folder / path)}
