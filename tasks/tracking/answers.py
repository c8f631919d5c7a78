"""Calls of MLflow: tell "there is no such thing" from a failed call, and make sure that downloads are complete.

Only MLflow itself can say that a thing does not exist. A broken connection, a timeout, a proxy's page, a refused login
and a busy server say nothing about the thing. They raise a `ServiceError`, and the same call may work later. MLflow's
own artifact download reports each of them as "does not exist", so the files are listed first.
"""

import posixpath
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME
from mlflow.tracking import MlflowClient
from mlflow.utils import request_utils, rest_utils
from requests import RequestException

from stillhouse.tasks.access.login import explain_refusal
from stillhouse.tasks.errors import ServiceError, StillhouseError

NO = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
"""Error codes with which MLflow says that there is no such thing. An invalid alias or name gives the last one."""
HTTP_LAYER = (rest_utils.__name__, request_utils.__name__)
LONGEST = 300


class AbsentError(StillhouseError):
    """MLflow says that a thing does not exist."""


def is_definite(error: Exception) -> bool:
    """Tell whether an error is MLflow's answer that there is no such thing, and not a failed call."""
    if not isinstance(error, MlflowException) or error.error_code not in NO:
        return False
    return isinstance(error, RestException) or _name_module(error) not in HTTP_LAYER


def _name_module(error: Exception) -> str:
    """Name the module that raised an error."""
    place, frame = "", error.__traceback__
    while frame is not None:
        place, frame = str(frame.tb_frame.f_globals.get("__name__")), frame.tb_next
    return place


@contextmanager
def answering() -> Iterator[None]:
    """Convert the errors of MLflow's client.

    Raises:
        AbsentError: MLflow says that there is no such thing.
        ServiceError: MLflow did not answer, or gave an invalid answer.
    """
    try:
        yield
    except (MlflowException, RequestException) as error:
        if is_definite(error):
            raise AbsentError(_one_line(error)) from error
        raise _no_answer(error) from error


def download_output(client: MlflowClient, run_id: str, path: str, folder: Path) -> Path:
    """Download a file or a folder of a run's artifacts completely. Returns its path.

    Raises:
        AbsentError: MLflow has no such run, or the run has no such artifact.
        ServiceError: MLflow does not answer, or returns only a part.
    """
    with answering():
        place = client.get_run(run_id).info.artifact_uri
        repository = get_artifact_repository(place, tracking_uri=client.tracking_uri)
        entries = repository.list_artifacts(posixpath.dirname(path) or None)
        return _download(repository, [path], [entry for entry in entries if not path or entry.path == path], folder)


def download_model(uri: str, folder: Path, parts: Collection[str] = ()) -> Path:
    """Download a logged or registered model completely. Returns its path.

    Args:
        uri: the model's address in MLflow.
        folder: where it is downloaded to.
        parts: names of files and folders of the model. If it is not empty, others are left out.

    Raises:
        AbsentError: MLflow has no such model, or the model is empty.
        ServiceError: MLflow does not answer, or returns only a part.
    """
    with answering():
        repository = get_artifact_repository(uri)
        entries = repository.list_artifacts(None)
        if not parts:
            return _download(repository, [""], entries, folder)
        chosen = [entry for entry in entries if entry.path in parts]
        _download(repository, [entry.path for entry in chosen], chosen, folder)
        return folder


def _download(repository: ArtifactRepository, paths: Sequence[str], entries: Sequence[FileInfo], folder: Path) -> Path:
    """Download files and folders, which MLflow listed as these entries. Returns the path of the first."""
    sizes = _sizes(repository, entries)
    if not sizes:
        msg = f"there is no {', '.join(filter(None, paths)) or 'file'} in {repository.artifact_uri}"
        raise AbsentError(msg)
    try:
        found = [Path(repository.download_artifacts(path, str(folder))) for path in paths]
    except (MlflowException, RequestException) as error:
        raise _no_answer(error) from error  # for any error code: MLflow has just listed the files
    _expect_whole(folder, sizes)
    return found[0]


def _sizes(repository: ArtifactRepository, entries: Sequence[FileInfo]) -> dict[str, int | None]:
    """List the files among entries and in their folders, with their sizes in bytes."""
    sizes: dict[str, int | None] = {}
    left = list(entries)
    while left:
        entry = left.pop()
        if entry.is_dir:
            left += repository.list_artifacts(entry.path)
        elif posixpath.basename(entry.path) != REGISTERED_MODEL_META_FILE_NAME:  # the client writes it at each download
            sizes[entry.path] = entry.file_size
    return sizes


def _expect_whole(folder: Path, sizes: dict[str, int | None]) -> None:
    for name, size in sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else 0
        if size is not None and found != size:
            msg = f"MLflow gave {found:,} of the {size:,} bytes of {name}; do it again"
            raise ServiceError(msg)


def _no_answer(error: Exception) -> ServiceError:
    other = f"MLflow does not answer as it should ({_one_line(error)}); look at its log and do it again"
    return ServiceError(explain_refusal(error) or other)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:LONGEST]
