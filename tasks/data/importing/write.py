"""Write dealt rows as a dataset, a few megabytes in memory for each split."""

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.data.format.dataset import (
    DESCRIPTION,
    LICENCE,
    MANIFEST,
    OPTIONS,
    SPLITS,
    split_digest,
)
from stillhouse.tasks.data.format.layout import SHARD_BYTES, Layout, layout_of
from stillhouse.tasks.data.importing.facts import TOLD
from stillhouse.tasks.data.importing.readers import read_chunk

PART = ".part"
LISTED_ROWS = 16_384
"""Rows of the manifest that are copied at once."""
GROUP_BYTES = 4 * 1024 * 1024
"""Bytes of rows that wait in memory for each split."""
AHEAD = 8
"""Tables that wait to be added, at most."""


@dataclass
class _Split:
    """The shards of one split so far, of which the last is open, and the rows that wait for it."""

    name: str
    folder: Path
    layout: Layout
    waiting: list[pa.Table] = field(default_factory=list)
    bytes_waiting: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)
    writer: pq.ParquetWriter | None = None
    lister: pq.ParquetWriter | None = None
    """Writes the split's part of the manifest."""
    rows: int = 0
    """Rows in the open shard."""
    size: int = 0
    """Bytes in the open shard, before compression."""

    def add(self, rows: pa.Table) -> None:
        """Take rows. When enough wait, they are written."""
        while len(rows):
            room = self.layout.shard_rows - self.rows - sum(map(len, self.waiting))
            self.waiting.append(rows[:room])
            self.bytes_waiting += self.waiting[-1].nbytes
            rows = rows[room:]
            full = room == len(self.waiting[-1])
            if full or self.bytes_waiting >= GROUP_BYTES:
                self.write()

    def write(self) -> None:
        """Append the waiting rows to the open shard. A full shard is closed."""
        if self.waiting:
            rows = pa.concat_tables(self.waiting)
            self.waiting, self.bytes_waiting = [], 0
            path = self.folder / f"{self.name}-{len(self.shards):03d}.parquet"
            self.writer = self.writer or pq.ParquetWriter(path, self.layout.shard, **OPTIONS)
            self.writer.write_table(self._stored(rows))
            self.lister = self.lister or pq.ParquetWriter(self.part, self.layout.manifest, **OPTIONS)
            self.lister.write_table(self._listed(rows, path.name))
            self.rows, self.size = self.rows + len(rows), self.size + rows.nbytes
            if self.rows == self.layout.shard_rows or self.size >= SHARD_BYTES:
                self.close()

    def _stored(self, rows: pa.Table) -> pa.Table:
        """Return the columns of a shard. The text of a line is what the source says of it."""
        if "text" in self.layout.shard.names and "text" not in rows.column_names:
            rows = rows.rename_columns({TOLD: "text"})
        return rows.select(self.layout.shard.names).cast(self.layout.shard)

    def close(self) -> None:
        """End the open shard."""
        if self.writer:
            path = self.folder / f"{self.name}-{len(self.shards):03d}.parquet"
            self.writer.close()
            self.shards.append({"path": path.name, "rows": self.rows, "sha256": file_digest(path)})
            self.writer, self.rows, self.size = None, 0, 0
            pa.default_memory_pool().release_unused()  # else Arrow keeps 40 MB for later

    def abandon(self) -> None:
        """Close the files, which may be on a full disk: a writer that is freed open prints its own error there."""
        for writer in (self.writer, self.lister):
            if writer:
                with suppress(OSError):
                    writer.close()
                writer.is_open = False

    def _listed(self, rows: pa.Table, shard: str) -> pa.Table:
        columns = {
            **{name: rows[name] for name in ("id", "label", "sha256")},
            "split": pa.array([self.name] * len(rows)),
            "shard": pa.array([shard] * len(rows)),
            "row": pa.array(range(self.rows, self.rows + len(rows)), pa.int64()),
        }
        return pa.table({name: columns[name] for name in self.layout.manifest.names}).cast(self.layout.manifest)

    @property
    def part(self) -> Path:
        """The file of the split's part of the manifest, while the dataset is written."""
        return self.folder / f".{self.name}{PART}"

    def finish(self) -> dict[str, Any]:
        """Write what waits, and describe the split for dataset.json."""
        self.write()
        self.close()
        if self.lister:
            self.lister.close()
        digests = read_chunk(self.part, "sha256")["sha256"].to_pylist() if self.lister else []
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
    try:
        described = _fill(splits, rows)
    except BaseException:
        for split in splits.values():
            split.abandon()
        raise
    _write_manifest(folder / MANIFEST, [split.part for split in splits.values() if split.lister], layout.manifest)
    (folder / LICENCE).write_text(f"{about['licence']}\n", encoding="utf-8")
    pinned = {
        "splits": described,
        "manifest": {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)},
        "licence_file": {"path": LICENCE, "sha256": file_digest(folder / LICENCE)},
    }
    write_json(folder / DESCRIPTION, {**about, **pinned})
    return {name: split["count"] for name, split in described.items()}


def _fill(splits: Mapping[str, _Split], rows: Iterable[tuple[str, pa.Table]]) -> dict[str, dict[str, Any]]:
    """Add the rows to their splits, and describe these. Each split has a thread, which compresses."""
    with ExitStack() as stack:
        packers = {name: stack.enter_context(ThreadPoolExecutor(1)) for name in splits}
        added = deque[Future[None]]()
        for name, table in rows:
            added.append(packers[name].submit(splits[name].add, table))
            if len(added) > AHEAD:
                added.popleft().result()
        for one in added:
            one.result()
        finished = {name: packers[name].submit(split.finish) for name, split in splits.items()}
        return {name: described.result() for name, described in finished.items()}


def _write_manifest(path: Path, parts: Iterable[Path], schema: pa.Schema) -> None:
    """Join the parts of the manifest, a batch at a time, and remove them."""
    with pq.ParquetWriter(path, schema, **OPTIONS) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(LISTED_ROWS):
                    writer.write_batch(batch)
            part.unlink()
