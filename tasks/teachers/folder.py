"""The teacher of a recipe that is a folder: find it, check its digest, and read it."""

from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.inspection.source import find_source
from stillhouse.models.workloads.training_optional import Adopts, adopting
from stillhouse.tasks.artifacts.model_folder import folder_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.teacher import Folder
from stillhouse.tasks.settings import load_settings


def adopt_folder(teacher: Folder, workload: str, data: Path) -> Adopted:
    """Read the recipe's teacher for its dataset.

    Raises:
        StillhouseError: the folder is missing or is not the folder that the recipe names, or the workload reads none.
        ModelError: it is no model that the workload reads.
    """
    adopts, source = expect_adopting(workload), find_source(load_settings().root / teacher.folder)
    found = folder_digest(source.path)
    if found != teacher.sha256:
        msg = f"{source.path} has the digest {found}, not the recipe's {teacher.sha256}; restore it or mend sha256"
        raise StillhouseError(msg)
    try:
        return adopts.adopt(source, data)
    except OSError as error:
        msg = f"{source.path} cannot be read ({error.strerror}); mend its permissions"
        raise ModelError(msg) from error


def expect_adopting(workload: str) -> Adopts:
    """Return a workload that reads a teacher from a folder.

    Raises:
        StillhouseError: it reads none.
    """
    if adopts := adopting(workload):
        return adopts
    msg = f"the workload {workload} reads no teacher from a folder; name an ONNX file or a network"
    raise StillhouseError(msg)
