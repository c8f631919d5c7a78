"""Read the chunks of a large import in processes of their own. They end with this process, however it ends."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.models.aside import write_aside
from stillhouse.tasks.data.importing.contents import read_content
from stillhouse.tasks.data.importing.sources.source import Form, Row
from stillhouse.tasks.errors import DataError

MOST = 4
"""Processes at most: each takes about 150 MB."""
QUEUED = 2
"""Chunks that a process has at once: one that it reads, and one that waits, so that it never does."""
OPTIONS: Mapping[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""Options of the Parquet file of a chunk, which lasts as long as its import."""


class Chunk(NamedTuple):
    """Rows, and the file that they become."""

    path: Path
    rows: list[Row]
    form: Form
    schema: pa.Schema


def write_chunk(chunk: Chunk) -> None:
    """Read the rows of a chunk and write its file."""
    read = [read_content(row, chunk.form) for row in chunk.rows]
    with write_aside(chunk.path) as aside:
        pq.write_table(pa.Table.from_pylist(read, chunk.schema), aside, **OPTIONS)


def read_chunk(path: Path, *columns: str) -> pa.Table:
    """Read some columns of a chunk, or all. `pyarrow.parquet.read_table` takes longer than a small chunk."""
    with pq.ParquetFile(path) as file:
        return file.read(list(columns) or None, use_threads=False)


def write_chunks(chunks: Iterable[Chunk], *, alone: bool) -> Iterator[Path]:
    """Write the files of the chunks that lack one. Yields every path, in order.

    Args:
        chunks: the chunks.
        alone: read in this process, because there are few rows.

    Raises:
        DataError: a reader was ended from outside.
        OSError: a file cannot be written.
    """
    count = min(len(os.sched_getaffinity(0)), MOST)
    if alone or count == 1:
        for chunk in chunks:
            if not chunk.path.is_file():
                write_chunk(chunk)
            yield chunk.path
        return
    with _readers(count) as readers:
        yield from _deal_out(chunks, readers)


def _deal_out(chunks: Iterable[Chunk], readers: deque[Connection]) -> Iterator[Path]:
    """Give each reader chunks in turn, and wait for the oldest when all have enough. A reader answers in order."""
    busy = deque[tuple[Path, Connection | None]]()
    for chunk in chunks:
        if chunk.path.is_file():
            busy.append((chunk.path, None))
        else:
            while not readers:
                yield _finish(busy, readers)
            with _expect_alive():
                readers[0].send(chunk)
            busy.append((chunk.path, readers.popleft()))
    while busy:
        yield _finish(busy, readers)


def _finish(busy: deque[tuple[Path, Connection | None]], readers: deque[Connection]) -> Path:
    path, reader = busy.popleft()
    if reader:
        with _expect_alive():
            error = reader.recv()
        if error:
            raise error
        readers.append(reader)
    return path


@contextmanager
def _expect_alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        msg = "a process that reads the files was ended; free memory and import again, which goes on where it was"
        raise DataError(msg) from error


@contextmanager
def _readers(count: int) -> Iterator[deque[Connection]]:
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_serve, args=(theirs,), daemon=True) for _, theirs in pairs]
    for process, (_, theirs) in zip(processes, pairs, strict=True):
        process.start()
        theirs.close()
    try:
        yield deque([ours for ours, _ in pairs] * QUEUED)
    finally:
        for ours, _ in pairs:
            ours.close()
        for process in processes:
            process.join()


def _serve(connection: Connection) -> None:
    """Write one chunk after another, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            chunk = connection.recv()
        except (EOFError, ConnectionResetError):  # the second, if the other end was killed before it read an answer
            return
        with suppress(ConnectionError):  # the other end is closed
            connection.send(_try(chunk))


def _try(chunk: Chunk) -> Exception | None:
    try:
        write_chunk(chunk)
    except Exception as error:  # noqa: BLE001 - raised again by the process that waits
        return error
    return None
