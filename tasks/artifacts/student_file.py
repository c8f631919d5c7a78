"""The bundle that ships. It is found in the output of the stage `export` or in MLflow, and checked by its digest."""

import tempfile
from collections.abc import Collection
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.old_packing import OLD_SUFFIX
from stillhouse.models.onnx.packing import is_packed, unpack
from stillhouse.models.runtime.bundle import BUNDLE, Bundle, open_bundle
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.tracking.answers import AbsentError, download_model

MODELS = ("teacher", "student")
REFERENCES = "references"
"""Folder where `export` writes the outputs of the training-time modules."""
MODEL_FILE = "model.onnx"
BESIDE_FOLDER = "extra_files"
"""Folder with the bundle of an old version, beside the ONNX file that MLflow loaded."""
COMPONENTS_FOLDERS = ("artifacts/bundle", "artifacts/towers")
"""Folders where MLflow puts the bundle of a model that our own code serves. The second was used until version 0.1."""
TO_SERVE = ("MLmodel", MODEL_FILE, BESIDE_FOLDER, "artifacts")
"""Parts of a logged model that a server reads. The others are a copy of our code and lists of packages."""


def locate_student(export: Path) -> Bundle:
    """Open the student's bundle in the output of the stage `export`.

    Raises:
        ModelError: the bundle is damaged.
    """
    return open_bundle(export / "student")


def expect_digest(model_uri: str, digest: str) -> None:
    """Download a logged model and compare its judged bundle with a digest.

    Raises:
        ArtifactError: a file is missing or differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        download_verified(model_uri, digest, Path(folder))


def download_verified(model_uri: str, digest: str, folder: Path, parts: Collection[str] = ()) -> Path:
    """Download a logged model whose bundle has this digest. Returns the model's folder.

    An old version may have the ONNX file that MLflow loaded beside it. A packed file must unpack to that ONNX file.

    Args:
        model_uri: the model's address in MLflow.
        digest: the expected digest.
        folder: where the model is downloaded to.
        parts: see `download_model`.

    Raises:
        ArtifactError: a file is missing or differs.
        ServiceError: MLflow does not answer, or returns only a part.
    """
    try:
        where = download_model(model_uri, folder, parts)
        found = _judged_digest(where)
    except (AbsentError, ModelError, OSError) as error:
        where, found = folder, f"nothing ({' '.join(str(error).split())[:200]})"
    if found != digest:
        msg = f"MLflow gives back {found} for {model_uri}, not the judged file {digest}; run the stage register again"
        raise ArtifactError(msg)
    return where


def locate_judged(folder: Path) -> Path:
    """Find the judged files in a downloaded model: its bundle, or the single file of a version older than bundles."""
    for where in COMPONENTS_FOLDERS:
        if (folder / where).is_dir():
            return folder / where
    if (folder / BESIDE_FOLDER / BUNDLE).is_file():
        return folder / BESIDE_FOLDER
    packed = sorted((folder / BESIDE_FOLDER).glob(f"*{OLD_SUFFIX}"))
    return packed[0] if packed else folder / MODEL_FILE


def _judged_digest(folder: Path) -> str:
    bundle = open_bundle(locate_judged(folder))
    loaded = folder / MODEL_FILE
    for path in bundle.files if loaded.is_file() else ():
        if (unpack(path) if is_packed(path) else path.read_bytes()) != loaded.read_bytes():
            return f"a {path.name} that is not its {MODEL_FILE}"
    return bundle.digest
