"""The student that ships: found where the stage export left it or where MLflow keeps it, and checked by its digest."""

import tempfile
from pathlib import Path

from models.errors import ModelError
from models.packing import SUFFIX, deployable, is_packed, unpacked
from models.towers import files_of
from tasks.artifact import file_digest, json_digest
from tasks.errors import ArtifactError
from tasks.mlflow_answers import AbsentError, download_model

MODEL_FILE = "model.onnx"
PACKED_FOLDER = "extra_files"
"""Where MLflow puts a packed student beside the ONNX file that it can load."""
TOWERS_FOLDER = "artifacts/towers"
"""Where MLflow puts the towers in a logged model."""


def locate_student(models: Path) -> tuple[Path, str]:
    """Find what the stage export left of the student, a file or a folder of towers, and its digest."""
    towers = models / "student"
    if towers.is_dir():
        return towers, towers_digest(towers)
    student = deployable(models, "student")
    return student, file_digest(student)


def deployables_of(models: Path) -> dict[str, Path]:
    """Find what ships of `teacher` and `student` in the output of export: a file each, or a folder of towers each."""
    towers = (models / "student").is_dir()
    return {name: models / name if towers else deployable(models, name) for name in ("teacher", "student")}


def towers_digest(folder: Path) -> str:
    """Digest every file that a deployment of towers needs."""
    return json_digest({path.name: file_digest(path) for path in files_of(folder)})


def expect_digest(model_uri: str, digest: str) -> None:
    """Download a logged model and compare the file that was judged with a digest.

    Raises:
        ArtifactError: the file is missing or differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        download_verified(model_uri, digest, Path(folder))


def download_verified(model_uri: str, digest: str, folder: Path) -> Path:
    """Download a logged model whose judged file has a digest; returns where it lies.

    Beside a packed file lies the ONNX file that MLflow loads; the first must unpack to the second.

    Raises:
        ArtifactError: the file is missing or differs.
        ServiceError: MLflow does not answer, or gives only a part.
    """
    try:
        where = download_model(model_uri, folder)
        found = _judged_digest(where)
    except (AbsentError, ModelError, OSError) as error:
        where, found = folder, f"nothing ({' '.join(str(error).split())[:200]})"
    if found != digest:
        msg = f"MLflow gives back {found} for {model_uri}, not the judged file {digest}; run the stage register again"
        raise ArtifactError(msg)
    return where


def locate_judged(folder: Path) -> Path:
    """Find in a downloaded model what was judged: the folder of its towers, its packed file, or else its ONNX file."""
    if (folder / TOWERS_FOLDER).is_dir():
        return folder / TOWERS_FOLDER
    packed = sorted((folder / PACKED_FOLDER).glob(f"*{SUFFIX}"))
    return packed[0] if packed else folder / MODEL_FILE


def _judged_digest(folder: Path) -> str:
    path = locate_judged(folder)
    if path.is_dir():
        return towers_digest(path)
    if is_packed(path) and unpacked(path) != (folder / MODEL_FILE).read_bytes():
        return f"a {path.name} that does not unpack to its {MODEL_FILE}"
    return file_digest(path)
