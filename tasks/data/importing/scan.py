"""List the pictures of a folder that has one folder for each class."""

from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.errors import DataError

LEAST_CLASSES, MOST_CLASSES = 2, 10_000
LONGEST_NAME = 100
"""Characters of the name of a class."""


@dataclass(frozen=True)
class Listing:
    """The files of a folder, in the order of their names."""

    root: Path
    labels: tuple[str, ...]
    """Names of the classes, sorted."""
    files: tuple[tuple[str, int], ...]
    """Path relative to the folder, and number of its class."""


def scan(root: Path) -> Listing:
    """List the files in each class's folder, at any depth. Hidden files and folders are left out.

    Raises:
        DataError: there is no such folder, it has too few classes, or a class cannot have its name.
    """
    if not root.is_dir():
        msg = f"{root} is no folder; name a folder that has one folder of pictures for each class"
        raise DataError(msg)
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        names = tuple(path.name for path in folders)
        _check_names(root, names)
        files = [(path, number) for number, folder in enumerate(folders) for path in _files(folder)]
    except OSError as error:
        msg = f"{error.filename or root} cannot be read ({error.strerror}); mend its permissions"
        raise DataError(msg) from error
    return Listing(root, names, tuple((path.relative_to(root).as_posix(), number) for path, number in files))


def _files(folder: Path) -> list[Path]:
    inside = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _check_names(root: Path, names: tuple[str, ...]) -> None:
    if not LEAST_CLASSES <= len(names) <= MOST_CLASSES:
        msg = (
            f"{root} has {len(names)} folders, and a classifier needs {LEAST_CLASSES} to {MOST_CLASSES:,} classes; "
            "name a folder that has one folder of pictures for each class"
        )
        raise DataError(msg)
    for name in names:
        if not name.isprintable() or name != name.strip() or len(name) > LONGEST_NAME:
            msg = (
                f"the class {name!r} of {root} cannot have this name; rename its folder to at most {LONGEST_NAME} "
                "printable characters without spaces at its ends"
            )
            raise DataError(msg)
