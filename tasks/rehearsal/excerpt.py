"""Write a small dataset that has some rows of every split of a larger one."""

from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.models.data.description import with_split_names
from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.data.format.dataset import DESCRIPTION, LICENCE, MANIFEST, read_description, split_digest
from stillhouse.tasks.data.format.layout import UNSEEN_VOICE

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
    described["splits"] = {
        name: _write_split(dataset, folder, name, split, manifest, places[name])
        for name, split in described["splits"].items()
    }
    pq.write_table(manifest.take(np.concatenate(list(places.values()))), folder / MANIFEST)
    described["manifest"] = {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)}
    if labels is not None:
        described["captions"] = _write_captions(dataset, folder, described["captions"], labels)
    if UNSEEN_VOICE in described:
        described[UNSEEN_VOICE] = _write_unseen(dataset, folder, described[UNSEEN_VOICE], most)
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


def _write_split(  # noqa: PLR0913, PLR0917 - one call
    dataset: Path, folder: Path, name: str, split: Described, manifest: pa.Table, places: Numbers
) -> dict[str, Any]:
    """Write one shard with the chosen rows of a split."""
    starts, rows = {}, 0
    for shard in split["shards"]:
        starts[shard["path"]], rows = rows, rows + shard["rows"]
    kept = manifest.take(places)
    inside = [starts[path] + row for path, row in zip(kept["shard"].to_pylist(), kept["row"].to_pylist(), strict=True)]
    path = folder / f"{name}-000.parquet"
    pq.write_table(pq.read_table([dataset / shard for shard in starts]).take(inside), path)
    digest = split_digest(kept["sha256"].to_pylist())
    return {
        "count": len(kept),
        "digest": digest,
        "shards": [{"path": path.name, "rows": len(kept), "sha256": file_digest(path)}],
    }


def _write_captions(dataset: Path, folder: Path, captions: Described, labels: Numbers) -> dict[str, Any]:
    table = pq.read_table(dataset / captions["path"])
    kept = table.take(np.flatnonzero(np.isin(table["label"].to_numpy(), labels)))
    return _write_beside(folder, captions["path"], kept)


def _write_unseen(dataset: Path, folder: Path, unseen: Described, most: int) -> dict[str, Any]:
    table = pq.read_table(dataset / unseen["path"])
    return _write_beside(folder, unseen["path"], table.take(_spread(len(table), most)))


def _write_beside(folder: Path, path: str, table: pa.Table) -> dict[str, Any]:
    pq.write_table(table, folder / path)
    return {"path": path, "rows": len(table), "sha256": file_digest(folder / path)}
