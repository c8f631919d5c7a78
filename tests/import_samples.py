"""Sources of every kind in small, and what an import made of them."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from data_samples import quiet
from picture_samples import as_bytes, picture
from text_samples import sentences

from stillhouse.models.data.images import load_images
from stillhouse.models.data.texts import load_text_labels, load_texts
from stillhouse.tasks.data.format.dataset import SPLITS, read_description
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Imported, Wanted
from stillhouse.tasks.settings import Settings

SHAPE = (3, 16, 16)
NAMES = ("no", "yes, please")
HEADER_ROWS = [("text", "label"), *((text, NAMES[number % 2]) for number, text in enumerate(sentences(300)))]
"""A header and 300 rows of sound texts."""


def settings_of(root: Path) -> Settings:
    """Give a state folder to a test."""
    return Settings(root, root / "state", root / "runs", "")


def import_from(root: Path, source: Path | str, **options: Any) -> Imported:
    """Import a source into the cache below `root`."""
    return import_local(settings_of(root), Wanted("mine", source, SHAPE, "CC0", **options), quiet)


def texts_of(root: Path, found: Imported) -> dict[str, str]:
    """Read text -> name of its label, or an empty string without labels."""
    folder = settings_of(root).data_cache / found.digest
    names = {-1: "", **dict(enumerate(read_description(folder)["labels"]))}
    pairs: dict[str, str] = {}
    for split in SPLITS:
        labels = [names[number] for number in load_text_labels(folder, split).tolist()]
        pairs |= dict(zip(load_texts(folder, split), labels, strict=True))
    return pairs


def labels_of_pictures(root: Path, found: Imported) -> dict[bytes, str]:
    """Read pixels -> name of the label."""
    folder = settings_of(root).data_cache / found.digest
    pairs = {}
    for split in SPLITS:
        images = load_images(folder, split)
        for pixels, label in zip(images.images_NCHW, images.labels_N, strict=True):
            pairs[pixels.tobytes()] = found.labels[label]
    return pairs


def reasons_of(found: Imported) -> dict[str, str]:
    """Read rejected.csv."""
    with found.report.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["reason"] for row in csv.DictReader(stream)}


def write_csv(path: Path, rows: Iterable[Sequence[Any]], delimiter: str = ",") -> Path:
    """Write rows, of which the first is the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return path


def write_jsonl(path: Path, rows: Iterable[object]) -> Path:
    """Write one JSON value a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def encoded(count: int) -> list[bytes]:
    """Make PNG files of different pictures."""
    return [as_bytes(picture(seed)) for seed in range(count)]


def write_pictures(folder: Path, count: int) -> list[str]:
    """Write PNG files; returns their names."""
    folder.mkdir(parents=True)
    for number, content in enumerate(encoded(count)):
        (folder / f"{number:03d}.png").write_bytes(content)
    return [f"{number:03d}.png" for number in range(count)]


def write_saved(folder: Path, table: pa.Table, features: Mapping[str, Any], count: int | None = None) -> Path:
    """Write a dataset as `save_to_disk` of Hugging Face does, in two files."""
    folder.mkdir(parents=True)
    half = len(table) // 2
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for name, part in zip(names, (table[:half], table[half:]), strict=True):
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part, max_chunksize=50)
    info: dict[str, Any] = {"features": dict(features)}
    if count is not None:
        info["splits"] = {"train": {"name": "train", "num_examples": count}}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def picture_table(count: int, labels: Sequence[int]) -> pa.Table:
    """Make a table with pictures as Hugging Face stores them, and numbers of classes."""
    cells = [{"bytes": content, "path": None} for content in encoded(count)]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.table({"image": pa.array(cells, kind), "label": pa.array(labels, pa.int64())})


PICTURE_FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(NAMES)}}
