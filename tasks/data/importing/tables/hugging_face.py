"""Read a dataset that Hugging Face's `save_to_disk` wrote, from its Arrow files alone: no code of the dataset runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from stillhouse.tasks.data.importing.sources.source import Source, safe_id
from stillhouse.tasks.data.importing.tables.arrow import Tables, open_tables
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError

INFO, STATE, SPLITS = "dataset_info.json", "state.json", "dataset_dict.json"
END = bytes.fromhex("ffffffff00000000")
"""The last bytes of a whole stream of Arrow batches."""
SLICE = 64
"""Rows that are decoded at once."""


def is_hugging_face(root: Path) -> bool:
    """Tell whether a folder is a saved dataset, or has one for each split."""
    return (root / SPLITS).is_file() or ((root / INFO).is_file() and any(root.glob("*.arrow")))


def open_hugging_face(root: Path, wanted: Wanted) -> Source:
    """Take each row of a saved dataset as a picture or a text. The rows of its own splits are joined.

    Raises:
        DataError: a file is missing or cut off, the files contradict their description, or columns are not clear.
    """
    splits = [str(name) for name in _json(root / SPLITS).get("splits", [])] if (root / SPLITS).is_file() else [""]
    for name in splits:
        if name and (Path(name).name != name or not (root / name / INFO).is_file()):
            msg = f"{root / SPLITS} names the split {name!r}, and {root} does not have it; copy the dataset again"
            raise DataError(msg)
    files = [path for name in splits for path in _files(root / name)]
    if not files:
        msg = f"{root} has no Arrow files; copy the dataset again"
        raise DataError(msg)
    schema, total = _schema(files[0]), sum(_count(path) for path in files)
    features = _json(root / splits[0] / INFO).get("features") or {}
    said = f"{total:,} rows" + (f" of its splits {', '.join(splits)}, which are dealt anew" if splits[0] else "")
    said += _contradiction(root, splits, total)
    return open_tables(Tables(safe_id(root.resolve().name), root, files, schema, features, _read, said, total), wanted)


def _files(folder: Path) -> list[Path]:
    if not (folder / STATE).is_file():
        return sorted(folder.glob("*.arrow"))
    files = []
    for entry in _json(folder / STATE).get("_data_files") or ():
        path = folder / Path(str(entry.get("filename"))).name
        if not path.is_file():
            msg = f"{folder / STATE} names {path.name}, and {folder} does not have it; copy the dataset again"
            raise DataError(msg)
        files.append(path)
    return files


def _contradiction(root: Path, splits: list[str], total: int) -> str:
    """Say if the description counts other rows: of a filtered dataset it may be that of the whole."""
    counts: list[int] = []
    for name in splits:
        own = _json(root / name / INFO).get("splits") or {}
        chosen = own.get(name) or (next(iter(own.values())) if len(own) == 1 else {})
        count = chosen.get("num_examples") if isinstance(chosen, dict) else None
        if not isinstance(count, int):
            return ""
        counts.append(count)
    if sum(counts) == total:
        return ""
    return f" ({INFO} counts {sum(counts):,}; if the dataset was not filtered, copy it again)"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        msg = f"{path} is missing or is no JSON; copy the dataset again"
        raise DataError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path} is no JSON object; copy the dataset again"
        raise DataError(msg)
    return content


def _schema(path: Path) -> pa.Schema:
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            return reader.schema
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} is no stream of Arrow batches ({str(error)[:200]}); save the dataset again by save_to_disk"
        raise DataError(msg) from error


def _count(path: Path) -> int:
    """Count the rows of a file, of which only the headers of the batches are read."""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - len(END), 0))
        whole = stream.read() == END
    try:
        if whole:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
                return sum(batch.num_rows for batch in reader)
    except (pa.ArrowException, OSError):
        pass
    msg = f"{path} is cut off or damaged; copy the dataset again"
    raise DataError(msg)


def _read(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            chosen = batch.select(columns)
            for start in range(0, len(chosen), SLICE):
                yield chosen.slice(start, SLICE)
