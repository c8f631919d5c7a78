"""Import data and pin it: the dataset goes to `data/`, to the DVC remote and into data.dvc."""

import shutil
from pathlib import Path

from stillhouse.tasks.data.importing.make import Progress, importing, make_dataset
from stillhouse.tasks.data.importing.wanted import Imported, Wanted
from stillhouse.tasks.data.store.build_data import PLANS, push_folder, writing
from stillhouse.tasks.data.store.remote import list_folder, open_remote
from stillhouse.tasks.data.store.revision import write_pointer
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.settings import Settings


def import_folder(settings: Settings, wanted: Wanted, progress: Progress) -> Imported:
    """Make or replace a dataset of a user's own data. It is pinned last, so until then nothing reads it.

    Raises:
        DataError: the source, the name or the rows cannot be used. Nothing is pinned then.
        ServiceError: the remote or a bucket cannot be used, or another process imports a dataset of this name.
    """
    if wanted.name in PLANS:
        msg = (
            f"{wanted.name} is a dataset that this project builds; choose another name of small letters, digits and "
            "underscores"
        )
        raise DataError(msg)
    with importing(settings, wanted.name) as work:
        made, found = make_dataset(wanted, work, progress)
        with writing(settings):
            pin(settings, wanted.name, made, progress)
    return found


def pin(settings: Settings, name: str, made: Path, progress: Progress) -> None:
    """Put a dataset's folder into `data/` and the DVC remote, and pin it in data.dvc. The caller holds `writing`."""
    folder = _place(made, settings.root / "data" / name)
    listing = list_folder(folder)
    push_folder(folder, listing, open_remote(settings), progress)
    write_pointer(settings.root, {name: listing})


def _place(made: Path, folder: Path) -> Path:
    """Copy the dataset to `data/`, which may be on another disk, and let it take the place of an older one."""
    new, old = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
    for rest in (new, old):
        shutil.rmtree(rest, ignore_errors=True)
    shutil.copytree(made, new)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder
