"""Locks between commands of one state folder, released by the kernel however their holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.tasks.errors import ServiceError


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold a lock, waiting for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock, or refuse at once.

    Raises:
        ServiceError: another process has it; names that process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            msg = f"{what} is under way already in process {stream.read().strip() or '?'}; wait for it or end it first"
            raise ServiceError(msg) from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
