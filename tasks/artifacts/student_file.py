"""The bundle that ships: found where the stage export left it or where MLflow keeps it, and checked by its digest."""

import tempfile
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import SUFFIX, is_packed, unpacked
from stillhouse.models.runtime.bundle import BUNDLE, Bundle, open_bundle
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.tracking.answers import AbsentError, download_model

MODELS = ("teacher", "student")
REFERENCES = "references"
"""Where export leaves the answers of the training-time modules."""
MODEL_FILE = "model.onnx"
BESIDE_FOLDER = "extra_files"
"""Where MLflow puts the bundle beside the ONNX file that it can load."""
COMPONENTS_FOLDERS = ("artifacts/bundle", "artifacts/towers")
"""Where MLflow puts the bundle of a model that is served by code of ours; the second until version 0.1."""


def locate_student(export: Path) -> Bundle:
    """Open what the stage export left of the student.

    Raises:
        ModelError: it is damaged.
    """
    return open_bundle(export / "student")


def expect_digest(model_uri: str, digest: str) -> None:
    """Download a logged model and compare what was judged with a digest.

    Raises:
        ArtifactError: a file is missing or differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        download_verified(model_uri, digest, Path(folder))


def download_verified(model_uri: str, digest: str, folder: Path) -> Path:
    """Download a logged model whose bundle has a digest; returns where it lies.

    Beside a packed file lies the ONNX file that MLflow loads; the first must unpack to the second.

    Raises:
        ArtifactError: a file is missing or differs.
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
    """Find in a downloaded model what was judged: its bundle, or the file of a version from before there were any."""
    for where in COMPONENTS_FOLDERS:
        if (folder / where).is_dir():
            return folder / where
    if (folder / BESIDE_FOLDER / BUNDLE).is_file():
        return folder / BESIDE_FOLDER
    packed = sorted((folder / BESIDE_FOLDER).glob(f"*{SUFFIX}"))
    return packed[0] if packed else folder / MODEL_FILE


def _judged_digest(folder: Path) -> str:
    bundle = open_bundle(locate_judged(folder))
    loaded = folder / MODEL_FILE
    for path in bundle.files if loaded.is_file() else ():
        if (unpacked(path) if is_packed(path) else path.read_bytes()) != loaded.read_bytes():
            return f"a {path.name} that is not its {MODEL_FILE}"
    return bundle.digest
