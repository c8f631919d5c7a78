"""Shorten the logs that the embedded servers write into."""

import shutil
from pathlib import Path

from stillhouse.tasks.settings import Settings

MOST_BYTES = 10_000_000


def long_logs(settings: Settings) -> list[Path]:
    """List the logs of servers that are longer than `MOST_BYTES`."""
    return [path for path in sorted((settings.state / "logs").glob("*.log")) if path.stat().st_size > MOST_BYTES]


def shorten(log: Path) -> None:
    """Move the end of a log to `NAME.log.1` and empty the log.

    The server keeps the file open and appends to it, so the file itself stays. A line that the server writes between
    the two steps is lost.
    """
    with log.open("rb") as stream, log.with_name(f"{log.name}.1").open("wb") as kept:
        stream.seek(max(log.stat().st_size - MOST_BYTES, 0))
        shutil.copyfileobj(stream, kept)
    with log.open("r+b") as stream:
        stream.truncate(0)


def bytes_to_go(log: Path) -> int:
    """Return the bytes that `shorten` would free."""
    before = log.with_name(f"{log.name}.1")
    return log.stat().st_size - MOST_BYTES + (before.stat().st_size if before.exists() else 0)
