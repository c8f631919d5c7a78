"""Import data into this host's cache alone: nothing is pinned, pushed or committed, and DVC is not needed."""

from pathlib import Path

from stillhouse.tasks.artifacts.folders import move_into
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.format.dataset import fault_of
from stillhouse.tasks.data.importing.make import Progress, importing, make_dataset
from stillhouse.tasks.data.importing.wanted import Imported, Wanted
from stillhouse.tasks.settings import Settings


def import_local(settings: Settings, wanted: Wanted, progress: Progress) -> Imported:
    """Make a dataset of a user's own data, as the folder `settings.data_cache / digest`.

    Raises:
        DataError: the source, the name or the rows cannot be used. The cache is as before then.
        ServiceError: another process imports a dataset of this name, or a bucket does not answer.
    """
    with importing(settings, wanted.name) as work:
        made, found = make_dataset(wanted, work, progress)
        _keep(settings, made, found.digest)
    return found


def _keep(settings: Settings, made: Path, digest: str) -> None:
    """Move the dataset into the cache, unless the cache has it whole."""
    folder = settings.data_cache / digest
    with waiting(settings.data_cache / "lock"):
        if fault_of(folder, digest):
            move_into(made, folder)
