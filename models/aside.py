"""Write a file under a temporary name, then rename it.

A reader sees either the old file or the new one. Two writers never use the same temporary file.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"
ABANDONED_SECONDS = 86400.0
"""A temporary file of this age belongs to a writer that was killed."""


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. The temporary file is renamed to `path` unless the block raises."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files that killed writers left in a long-lived folder."""
    now = time.time()
    for aside in folder.glob(f".*{SUFFIX}"):
        try:
            if now - aside.stat().st_mtime > ABANDONED_SECONDS:
                aside.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # its writer has just finished
