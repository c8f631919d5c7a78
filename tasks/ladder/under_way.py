"""The mark of a climb that has not ended, so that the same command goes on with it after an interruption."""

import shutil
from pathlib import Path

from stillhouse.models.aside import write_aside

MARK = "under_way"


def is_under_way(work: Path, digest: str) -> bool:
    """Tell whether a climb with these goals, this model and this data was interrupted. Otherwise mark a new one.

    Args:
        work: folder of the climb. The recipes of an older climb are removed.
        digest: identifies model, data and goals.
    """
    mark = work / MARK
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return True
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with write_aside(mark) as aside:
        aside.write_text(digest, encoding="utf-8")
    return False


def end(work: Path) -> None:
    """Remove the mark."""
    (work / MARK).unlink(missing_ok=True)
