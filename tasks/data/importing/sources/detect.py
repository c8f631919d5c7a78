"""Tell what kind of source a path names, and open it."""

from collections.abc import Callable
from pathlib import Path

from stillhouse.tasks.data.importing.sources.class_folders import open_class_folders
from stillhouse.tasks.data.importing.sources.source import Source
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError


def open_source(wanted: Wanted, _work: Path, _progress: Callable[[str], None]) -> Source:
    """Open the source that a user names."""
    root = Path(wanted.source)
    if not root.is_dir():
        msg = f"{root} is no folder; name a folder that has one folder of pictures for each class"
        raise DataError(msg)
    return open_class_folders(root)
