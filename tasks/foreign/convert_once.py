"""Convert a Keras model once: the ONNX file is kept by the model's digest, and a second run converts nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

from stillhouse.tasks.artifacts.artifact import file_digest, json_digest, seal, verify
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.artifacts.source_digest import ROOT, files_with_imports
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.foreign.environment import TENSORFLOW
from stillhouse.tasks.foreign.keras_import import CONVERT, import_keras, refuse_early
from stillhouse.tasks.settings import Settings

FILE = "model.onnx"


def convert_once(path: Path, settings: Settings, progress: Callable[[str], None]) -> Path:
    """Return the ONNX form of a `.keras` file, an `.h5` file or a SavedModel, converted at most once.

    Args:
        path: the model. Nothing in it may run code of its author.
        settings: the deployment whose state folder keeps the file.
        progress: is told what takes long, or that the file is there already.

    Raises:
        StillhouseError: as `import_keras` does.
    """
    refuse_early(path)
    folder = settings.state / "conversions" / _key(path)
    with waiting(folder.parent / "lock"):
        if _is_whole(folder):
            progress(f"{path.name} is converted already: {folder / FILE}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            import_keras(path, folder / FILE, settings, progress)
            seal(folder, {}, model=str(path.resolve()))
    return folder / FILE


def _key(path: Path) -> str:
    """Return the digest of all that decides the ONNX file: the model, TensorFlow's environment and our converter."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return json_digest(
        {
            "model": {each.relative_to(path).as_posix(): file_digest(each) for each in files},
            "environment": file_digest(TENSORFLOW),
            "code": {each.relative_to(ROOT).as_posix(): file_digest(each) for each in files_with_imports((CONVERT,))},
        }
    )


def _is_whole(folder: Path) -> bool:
    """Tell whether the conversion ended and no byte has changed since."""
    try:
        verify(folder)
    except ArtifactError:
        return False
    return True
