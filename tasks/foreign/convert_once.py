"""Convert a foreign model once: the ONNX file is kept by the model's digest, and a second run converts nothing."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.tasks.artifacts.artifact import file_digest, json_digest, seal, verify
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.artifacts.source_digest import ROOT, files_with_imports
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.settings import Settings

FILE = "model.onnx"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Conversion:
    """A way from a model of another library to an ONNX file."""

    lock: Path
    """The hash-locked requirements of that library."""
    module: str
    """The module that converts."""
    write: Callable[[Path, Path, Settings, Progress], object]
    """Writes the ONNX file. Takes the model, the new file, the deployment, and whom to tell what takes long."""
    refuse: Callable[[Path], None] = lambda _: None
    """Refuses what can be refused before anything is installed."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else decides the file."""


def convert_once(path: Path, conversion: Conversion, settings: Settings, progress: Progress) -> Path:
    """Return the ONNX form of a model, converted at most once.

    Args:
        path: the model. Nothing in it may run code of its author.
        conversion: how it is converted.
        settings: the deployment whose state folder keeps the file.
        progress: is told what takes long, or that the file is there already.

    Raises:
        StillhouseError: as `conversion.write` does.
    """
    conversion.refuse(path)
    folder = settings.state / "conversions" / _key(path, conversion)
    with waiting(folder.parent / "lock"):
        if _is_whole(folder):
            progress(f"{path.name} is converted already: {folder / FILE}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            conversion.write(path, folder / FILE, settings, progress)
            seal(folder, {}, model=str(path.resolve()))
    return folder / FILE


def _key(path: Path, conversion: Conversion) -> str:
    """Return the digest of all that decides the ONNX file: the model, its library and our converter."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    code = files_with_imports((conversion.module,))
    return json_digest(
        {
            "model": {each.relative_to(path).as_posix(): file_digest(each) for each in files},
            "environment": file_digest(conversion.lock),
            "code": {each.relative_to(ROOT).as_posix(): file_digest(each) for each in code},
            "about": dict(conversion.about),
        }
    )


def _is_whole(folder: Path) -> bool:
    """Tell whether the conversion ended and no byte has changed since."""
    try:
        verify(folder)
    except ArtifactError:
        return False
    return True
