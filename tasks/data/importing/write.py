"""Write dealt rows as a dataset, one shard in memory for each split."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.data.format.dataset import DESCRIPTION, LICENCE, MANIFEST, SPLITS, split_digest, write_table
from stillhouse.tasks.data.format.layout import Layout, layout_of

Row = dict[str, Any]


@dataclass
class _Split:
    """The shards of one split so far, and the rows of the next one."""

    name: str
    folder: Path
    layout: Layout
    waiting: list[Row] = field(default_factory=list)
    shards: list[dict[str, Any]] = field(default_factory=list)
    manifest: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Take a row. A full shard is written."""
        shard = f"{self.name}-{len(self.shards):03d}.parquet"
        place = {"split": self.name, "shard": shard, "row": len(self.waiting)}
        self.manifest.append({name: row[name] for name in ("id", "label", "sha256")} | place)
        self.waiting.append(row)
        if len(self.waiting) == self.layout.shard_rows:
            self.write()

    def write(self) -> None:
        """Write the waiting rows as a shard."""
        if self.waiting:
            path = self.folder / f"{self.name}-{len(self.shards):03d}.parquet"
            write_table(path, self.waiting, self.layout.shard)
            self.shards.append({"path": path.name, "rows": len(self.waiting), "sha256": file_digest(path)})
            self.waiting = []

    def described(self) -> dict[str, Any]:
        """Describe the split for dataset.json."""
        digest = split_digest([row["sha256"] for row in self.manifest])
        return {"count": len(self.manifest), "digest": digest, "shards": self.shards}


def write_splits(folder: Path, about: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, int]:
    """Fill an empty folder with a dataset; dataset.json is written last.

    Args:
        folder: an existing folder for the dataset.
        about: the fields of dataset.json that describe no files.
        rows: each with id, label, sha256, split, and the content under the name of its column.

    Returns:
        Split -> number of its rows.
    """
    layout = layout_of(about)
    splits = {name: _Split(name, folder, layout) for name in SPLITS}
    for row in rows:
        splits[row["split"]].add(row)
    for split in splits.values():
        split.write()
    write_table(folder / MANIFEST, [row for split in splits.values() for row in split.manifest], layout.manifest)
    (folder / LICENCE).write_text(f"{about['licence']}\n", encoding="utf-8")
    pinned = {
        "splits": {name: split.described() for name, split in splits.items()},
        "manifest": {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)},
        "licence_file": {"path": LICENCE, "sha256": file_digest(folder / LICENCE)},
    }
    write_json(folder / DESCRIPTION, {**about, **pinned})
    return {name: len(split.manifest) for name, split in splits.items()}
