"""The lock between stages that look for earlier work and the collection that deletes it.

A stage looks for earlier work and notes in MLflow what it found, both under the shared lock. The collection decides
what is needed and makes the rest unfindable, both under the whole lock. So it sees every note, or the stage finds
nothing that goes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.tasks.artifacts.locks import beside

LOCK = "retention.lock"


@contextmanager
def looking(state: Path) -> Iterator[None]:
    """Hold the shared lock: nothing becomes unfindable meanwhile."""
    with beside(state / LOCK, alone=False, wait=_silent):
        yield


@contextmanager
def collecting(state: Path) -> Iterator[None]:
    """Hold the whole lock: no stage looks for earlier work meanwhile."""
    with beside(state / LOCK, alone=True, wait=_silent):
        yield


def _silent() -> None:
    """Say nothing: the wait is a matter of seconds."""
