"""Read the rows of a source, a chunk at a time, into Parquet files that a killed import finds again."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from stillhouse.tasks.data.importing.readers import Chunk, write_chunks
from stillhouse.tasks.data.importing.sources.source import Row, Source
from stillhouse.tasks.data.importing.wanted import Shape

CHUNK_ROWS = {"image": 256, "text": 2_048}
CHUNK_BYTES = 32 * 1024 * 1024
"""Bytes of a chunk, of what it is read from or of what it becomes, unless one row has more."""
MANY = 4_096
"""Pictures that are worth processes of their own. Each takes a second to start."""
TEXT = pa.string()
CONTENT = {"image": pa.binary(), "text": TEXT}


def spool(source: Source, shape: Shape | None, folder: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """Read every row. Yields the chunks in the order of the source.

    A chunk whose rows have not changed is not read again.

    Args:
        source: the rows.
        shape: channels, height and width of pictures. None: the rows are texts.
        folder: an existing folder for the chunks.
        progress: shows one line.
    """
    few = source.kind == "text" or (source.total is not None and source.total < MANY)
    yield from write_chunks(_chunks(source, shape, folder, progress), alone=few)


def _chunks(source: Source, shape: Shape | None, folder: Path, progress: Callable[[str], None]) -> Iterator[Chunk]:
    schema = pa.schema({"path": TEXT, "label": TEXT, source.kind: CONTENT[source.kind], "sha256": TEXT, "reason": TEXT})
    whole, done = f" of {source.total:,}" if source.total is not None else "", 0
    for rows in _chunked(source, shape):
        chunk = Chunk(folder / f"{_key(rows, shape)}.parquet", rows, shape, schema)
        done += len(rows)
        if not chunk.path.is_file():
            progress(f"reading {done:,}{whole} rows")
        yield chunk


def _chunked(source: Source, shape: Shape | None) -> Iterator[list[Row]]:
    most, waiting, size = CHUNK_ROWS[source.kind], list[Row](), 0
    each = shape[0] * shape[1] * shape[2] if shape else 0
    for row in source.rows():
        waiting.append(row)
        size += max(each, len(row.content) if isinstance(row.content, (bytes, str)) else 0)
        if len(waiting) == most or size >= CHUNK_BYTES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _key(rows: list[Row], shape: Shape | None) -> str:
    """Return a digest that changes if a row, its file, its label or the shape changes."""
    digest = hashlib.sha256(f"{shape}".encode())
    for row in rows:
        digest.update(f"\0{row.id}\0{row.label}\0{row.reason}\0".encode("utf-8", "surrogatepass"))
        digest.update(_identity(row.content))
    return digest.hexdigest()[:32]


def _identity(content: bytes | str | Path | None) -> bytes:
    if isinstance(content, Path):
        try:
            status = content.stat()
        except OSError as error:
            return f"{content}\0{error.errno}".encode("utf-8", "surrogatepass")
        return f"{content}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogatepass")
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content or b""
