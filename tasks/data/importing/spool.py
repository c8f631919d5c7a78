"""Read the rows of a source, a chunk at a time, into Parquet files that a killed import finds again."""

import hashlib
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import pyarrow as pa

from stillhouse.tasks.data.importing.readers import Chunk, write_chunks
from stillhouse.tasks.data.importing.sources.source import File, Form, Kind, Row, Source

CHUNK_ROWS: dict[Kind, int] = {"image": 256, "text": 2_048, "audio": 256}
CHUNK_BYTES = 32 * 1024 * 1024
"""Bytes of a chunk, of what it is read from or of what it becomes, unless one row has more."""
MANY = 4_096
"""Pictures or recordings that are worth processes of their own. Each takes a second to start."""
TEXT = pa.string()
CONTENT: dict[Kind, pa.DataType] = {"image": pa.binary(), "text": TEXT, "audio": pa.binary()}
ITEM: dict[Kind, int] = {"image": 1, "text": 0, "audio": 2}
"""Bytes of a pixel or sample."""


def spool(source: Source, form: Form, folder: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """Read every row. Yields the chunks in the order of the source.

    A chunk whose rows have not changed is not read again.

    Args:
        source: the rows.
        form: what the rows become.
        folder: an existing folder for the chunks.
        progress: shows one line.
    """
    few = source.kind == "text" or (source.total is not None and source.total < MANY)
    yield from write_chunks(_chunks(source, form, folder, progress), alone=few)


def _chunks(source: Source, form: Form, folder: Path, progress: Callable[[str], None]) -> Iterator[Chunk]:
    schema = pa.schema({"path": TEXT, "label": TEXT, source.kind: CONTENT[source.kind], "sha256": TEXT, "reason": TEXT})
    whole, done = f" of {source.total:,}" if source.total is not None else "", 0
    for rows in _chunked(source, form):
        chunk = Chunk(folder / f"{_key(rows, form)}.parquet", rows, form, schema)
        done += len(rows)
        if not chunk.path.is_file():
            progress(f"reading {done:,}{whole} rows")
        yield chunk


def _chunked(source: Source, form: Form) -> Iterator[list[Row]]:
    most, waiting, size = CHUNK_ROWS[source.kind], list[Row](), 0
    each = prod(form.shape) * ITEM[form.kind]
    for row in source.rows():
        waiting.append(row)
        size += max(each, len(row.content) if isinstance(row.content, (bytes, str)) else 0)
        if len(waiting) == most or size >= CHUNK_BYTES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _key(rows: list[Row], form: Form) -> str:
    """Return a digest that changes if a row, its file, its label or the form changes."""
    digest = hashlib.sha256(f"{form}".encode())
    for row in rows:
        known = f"\0{row.id}\0{row.label}\0{row.reason}\0".encode("utf-8", "surrogatepass")
        digest.update(known + _identity(row.content))
    return digest.hexdigest()[:32]


def _identity(content: bytes | str | File | None) -> bytes:
    if isinstance(content, File):
        try:
            status = content.status()
        except OSError as error:
            return f"{content.path}\0{error.errno}".encode("utf-8", "surrogatepass")
        return f"{content.path}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogatepass")
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content or b""
