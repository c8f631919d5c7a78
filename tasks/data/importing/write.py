"""Write dealt rows as a dataset, one shard in memory for each split."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.data.format.dataset import DESCRIPTION, LICENCE, MANIFEST, SPLITS, split_digest, store_table
from stillhouse.tasks.data.format.layout import SHARD_BYTES, Layout, layout_of


@dataclass
class _Split:
    """The shards of one split so far, and the rows of the next one."""

    name: str
    folder: Path
    layout: Layout
    waiting: list[pa.Table] = field(default_factory=list)
    shards: list[dict[str, Any]] = field(default_factory=list)
    manifest: list[pa.Table] = field(default_factory=list)

    def add(self, rows: pa.Table) -> None:
        """Take rows. Full shards are written."""
        self.waiting.append(rows)
        count, size = sum(map(len, self.waiting)), sum(table.nbytes for table in self.waiting)
        while count >= self.layout.shard_rows or size >= 2 * SHARD_BYTES:
            self.write()
            count, size = sum(map(len, self.waiting)), 0

    def write(self) -> None:
        """Write the first waiting rows as a shard."""
        if not self.waiting:
            return
        waiting = pa.concat_tables(self.waiting)
        rows, rest = waiting[: self.layout.shard_rows], waiting[self.layout.shard_rows :]
        path = self.folder / f"{self.name}-{len(self.shards):03d}.parquet"
        store_table(path, rows.select(self.layout.shard.names).cast(self.layout.shard))
        self.shards.append({"path": path.name, "rows": len(rows), "sha256": file_digest(path)})
        self.manifest.append(self._listed(rows, path.name))
        self.waiting = [rest] if len(rest) else []

    def _listed(self, rows: pa.Table, shard: str) -> pa.Table:
        columns = {
            **{name: rows[name] for name in ("id", "label", "sha256")},
            "split": pa.array([self.name] * len(rows)),
            "shard": pa.array([shard] * len(rows)),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
        return pa.table({name: columns[name] for name in self.layout.manifest.names}).cast(self.layout.manifest)

    def described(self) -> dict[str, Any]:
        """Describe the split for dataset.json."""
        digests = [digest for table in self.manifest for digest in table["sha256"].to_pylist()]
        return {"count": len(digests), "digest": split_digest(digests), "shards": self.shards}


def write_splits(folder: Path, about: Mapping[str, Any], rows: Iterable[tuple[str, pa.Table]]) -> dict[str, int]:
    """Fill an empty folder with a dataset; dataset.json is written last.

    Args:
        folder: an existing folder for the dataset.
        about: the fields of dataset.json that describe no files.
        rows: split, and a table with the columns id, label, sha256, and the content under the name of its column.

    Returns:
        Split -> number of its rows.
    """
    layout = layout_of(about)
    splits = {name: _Split(name, folder, layout) for name in SPLITS}
    for name, table in rows:
        splits[name].add(table)
    for split in splits.values():
        split.write()
    store_table(folder / MANIFEST, pa.concat_tables([table for split in splits.values() for table in split.manifest]))
    (folder / LICENCE).write_text(f"{about['licence']}\n", encoding="utf-8")
    described = {name: split.described() for name, split in splits.items()}
    pinned = {
        "splits": described,
        "manifest": {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)},
        "licence_file": {"path": LICENCE, "sha256": file_digest(folder / LICENCE)},
    }
    write_json(folder / DESCRIPTION, {**about, **pinned})
    return {name: split["count"] for name, split in described.items()}
