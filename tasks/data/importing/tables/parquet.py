"""Read pictures or texts from Parquet files of one schema."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.tasks.data.importing.sources.source import Source, safe_id
from stillhouse.tasks.data.importing.tables.arrow import Tables, features_of, open_tables
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError

BATCH_ROWS = 64
"""Rows that are decoded at once. A row may have a picture of megabytes."""
BUFFER = 1 << 20
"""Bytes of a column that are read at once."""


def open_parquet(files: Sequence[Path], root: Path, wanted: Wanted) -> Source:
    """Take each row of the files as a picture or a text.

    Raises:
        DataError: a file is no Parquet file, the files have different columns, or it is not clear which are meant.
    """
    total, schema = 0, None
    for path in files:
        own, rows = _look_at(path)
        if schema is not None and not own.equals(schema):
            msg = f"{path} and {files[0].name} have different columns; name one of them alone, or write both alike"
            raise DataError(msg)
        schema, total = own, total + rows
    if schema is None:
        msg = f"{root} has no Parquet file; name another folder"
        raise DataError(msg)
    name = safe_id(files[0].name if len(files) == 1 else root.resolve().name)
    said = f"{total:,} rows" + (f" of {len(files):,} files" if len(files) > 1 else "")
    return open_tables(Tables(name, root, files, schema, features_of(schema.metadata), _read, said, total), wanted)


def _look_at(path: Path) -> tuple[pa.Schema, int]:
    try:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())[:200]
        msg = f"{path} cannot be read as a Parquet file ({told}); copy it again"
        raise DataError(msg) from error


def _read(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
