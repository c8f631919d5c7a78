"""Write a file aside, then rename it: readers see the old file or the new one, and two writers never meet."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"
ABANDONED_SECONDS = 86400.0
"""A file aside of this age belongs to a writer that was killed."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path of the writer's own beside `path`; what is written there becomes `path` unless the block raises."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Delete what killed writers left in a folder that lives for long."""
    now = time.time()
    for aside in folder.glob(f".*{SUFFIX}"):
        try:
            if now - aside.stat().st_mtime > ABANDONED_SECONDS:
                aside.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # its writer has just finished
