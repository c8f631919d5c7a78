"""Locks between commands of one state folder. The kernel releases a lock however its process ends."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from stillhouse.tasks.errors import ServiceError


@contextmanager
def waiting(path: Path) -> Iterator[int]:
    """Hold a lock. If another process has it, wait.

    Yields:
        The lock's file descriptor. A child process that inherits it holds the lock too, even if this process is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock. If another process has it, refuse at once.

    Raises:
        ServiceError: another process has the lock. The message names that process.
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


@contextmanager
def beside(path: Path, *, alone: bool, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that others may share, or hold it alone.

    Args:
        path: the lock.
        alone: nobody else may hold it.
        wait: called once if others must end first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with path.open("a+", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(stream, kind)
        yield


@contextmanager
def quiet(folder: Path, *, alone: bool, wait: Callable[[], None]) -> Iterator[None]:
    """Use the host alone, or beside others that do not need it alone.

    The order is that of arrival. A training that comes after a waiting measurement begins after it, so that several
    trainings that follow each other cannot keep a measurement waiting for ever.

    Args:
        folder: a folder that all processes of this host share. It holds two locks.
        alone: nobody else may use the host meanwhile.
        wait: called once if others must end first.
    """
    say = cache(wait)
    with ExitStack() as held:
        with beside(folder / "next.lock", alone=True, wait=say):
            held.enter_context(beside(folder / "quiet.lock", alone=alone, wait=say))
        yield
