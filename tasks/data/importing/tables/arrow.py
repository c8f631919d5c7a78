"""Read pictures, recordings or texts from batches of Arrow columns, as Parquet files and saved datasets have them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from stillhouse.tasks.data.importing.sources.source import NOUNS, Row, Source, safe_id
from stillhouse.tasks.data.importing.tables.cells import row_of
from stillhouse.tasks.data.importing.tables.columns import ANY, Columns, choose_columns
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError

Features = Mapping[str, Any]
"""Column -> its type as Hugging Face describes it; empty if nothing does."""
Batches = Callable[[Path, list[str]], Iterator[pa.RecordBatch]]
"""Reads some columns of a file, a batch at a time."""
CHECKS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "ClassLabel": pa.types.is_integer,
    "Image": lambda kind: _is_bytes(kind) or _is_file_struct(kind),
    "Audio": lambda kind: _is_bytes(kind) or _is_file_struct(kind),
}


@dataclass(frozen=True)
class Tables:
    """Files of one schema."""

    name: str
    root: Path
    files: Sequence[Path]
    schema: pa.Schema
    features: Features
    read: Batches
    said: str
    """What is told beside the columns, such as the number of rows."""
    total: int | None


def features_of(metadata: Mapping[bytes, bytes] | None) -> Features:
    """Return the types that the writer of a Parquet or Arrow file left in its metadata."""
    try:
        described: Features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return described if isinstance(described, dict) else {}


def open_tables(tables: Tables, wanted: Wanted) -> Source:
    """Take each row as a picture, a recording or a text.

    Raises:
        DataError: the columns contradict their description, or it is not clear which are meant.
    """
    for column, feature in tables.features.items():
        _check_type(tables, column, feature)
    roles = {field.name: _roles(field.type, tables.features.get(field.name)) for field in tables.schema}
    columns = choose_columns(tables.name, roles, wanted)
    names = _names(tables.features.get(columns.label or ""))
    return Source(
        tables.name,
        columns.kind,
        f"{NOUNS[columns.kind]} from {tables.name}: {columns.said}, {tables.said}",
        partial(_rows, tables, columns, names),
        labelled=columns.label is not None,
        labels=tuple(names or ()) if columns.label else (),
        total=tables.total,
    )


def _rows(tables: Tables, columns: Columns, names: Sequence[str] | None) -> Iterator[Row]:
    root, wanted = tables.root.resolve(), [columns.content, *([columns.label] if columns.label else [])]
    for path in tables.files:
        name, number = safe_id(path.relative_to(tables.root).as_posix()), 0
        try:
            for batch in tables.read(path, wanted):
                for cells in _plain(batch, columns):
                    number += 1
                    yield row_of(cells, f"{name}:{number}", columns, root, names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            told = " ".join(str(error).split())[:200]
            msg = f"{path} cannot be read after row {number:,} ({told}); copy it again"
            raise DataError(msg) from error


def _plain(batch: pa.RecordBatch, columns: Columns) -> list[dict[str, Any]]:
    """Return the rows of a batch. A string that may not be valid UTF-8 is bytes, but a path is a string."""
    read = {name: _as_bytes(batch.column(name)).to_pylist() for name in batch.schema.names}
    if columns.kind != "text" and _is_text(_value_type(batch.schema.field(columns.content).type)):
        read[columns.content] = [
            None if path is None else path.decode("utf-8", "surrogateescape") for path in read[columns.content]
        ]
    return [dict(zip(read, cells, strict=True)) for cells in zip(*read.values(), strict=True)]


def _as_bytes(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.large_binary())
    return column


def _check_type(tables: Tables, column: str, feature: Any) -> None:  # noqa: ANN401 - JSON of others
    kind = feature.get("_type") if isinstance(feature, dict) else None
    if column not in tables.schema.names:
        return
    stored = tables.schema.field(column).type
    check = _is_text if kind == "Value" and feature.get("dtype") == "string" else CHECKS.get(str(kind))
    if check and not check(stored):
        msg = f"{tables.name} describes the column {column} as {kind} and stores {stored}; save the dataset again"
        raise DataError(msg)


def _roles(kind: pa.DataType, feature: Any) -> frozenset[str]:  # noqa: ANN401 - JSON of others
    if _names(feature) is not None:
        return frozenset({"class", "label"})
    kind = _value_type(kind)
    if _is_text(kind):
        return ANY
    if _is_bytes(kind) or _is_file_struct(kind):
        return frozenset({"file", "audio"} if _is_audio(feature) else {"file"})
    return frozenset({"label"} if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else ())


def _names(feature: Any) -> list[str] | None:  # noqa: ANN401 - JSON of others
    """Return the names of a ClassLabel."""
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return None


def _is_audio(feature: Any) -> bool:  # noqa: ANN401 - JSON of others
    return isinstance(feature, dict) and feature.get("_type") == "Audio"


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_file_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind)) and {field.name for field in kind} == {"bytes", "path"}
