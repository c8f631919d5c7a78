"""Bring a Keras or TensorFlow classifier in: as an ONNX file, which a recipe names as its teacher."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.keras.archive import read_archive
from stillhouse.models.keras.config import check_config
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.convert_once import Conversion
from stillhouse.tasks.foreign.environment import TENSORFLOW, ensure_environment, environment_folder, is_whole
from stillhouse.tasks.foreign.inside import run_inside
from stillhouse.tasks.settings import Settings

CONVERT = "stillhouse.models.keras.convert"
HEADER = "stillhouse.models.keras.header"


@dataclass(frozen=True)
class Imported:
    """An ONNX file that computes the same as a Keras model, and what the model says about itself."""

    onnx: Path
    sha256: str
    shape: tuple[int | None, ...]
    """Of one image, in the layout. None is a side of any size."""
    layout: str
    output: str
    """`logits` or `probabilities`."""
    classes: int
    largest_difference: float
    """Between the file's outputs and Keras's own, as a share of the largest output."""

    def teacher_section(self, scale: float) -> dict[str, Any]:
        """Return the recipe's section `teacher`.

        Args:
            scale: number by which the caller's code divides raw pixels before the model, 1 if the model does it itself.
        """
        return {
            "onnx": str(self.onnx),
            "sha256": self.sha256,
            "layout": self.layout,
            "scale": scale,
            "output": self.output,
        }


def import_keras(path: Path, out_onnx: Path, settings: Settings, progress: Callable[[str], None]) -> Imported:
    """Convert a `.keras` file, an `.h5` file or a SavedModel to ONNX and compare both, in TensorFlow's environment.

    Args:
        path: the model. Nothing in it may run code of its author.
        out_onnx: path of the new file. Nothing is written unless it computes what Keras computes.
        settings: the deployment whose state folder holds the environment.
        progress: is told what takes long.

    Raises:
        StillhouseError: the model is refused or differs, or the environment cannot be made.
    """
    refuse_early(path)
    python = ensure_environment(settings, progress)
    progress(f"converting {path.name} to ONNX and comparing both")
    found = run_inside(python, CONVERT, {"model": str(path.resolve()), "onnx": str(out_onnx.resolve())})
    known = {key: found[key] for key in ("layout", "output", "classes", "largest_difference")}
    return Imported(out_onnx, file_digest(out_onnx), tuple(found["shape"]), **known)


def read_header(path: Path, settings: Settings) -> Mapping[str, Any]:
    """Read the layers and tensors of a model, if the environment is there.

    Raises:
        StillhouseError: the model is refused, or the environment was not made yet.
    """
    refuse_early(path)
    folder = environment_folder(settings)
    if not is_whole(folder):
        msg = f"{path} is read in TensorFlow's environment, which is not there; stillhouse convert makes it (1.9 GB)"
        raise StillhouseError(msg)
    return run_inside(folder / "bin" / "python", HEADER, {"model": str(path.resolve())})


def refuse_early(path: Path) -> None:
    """Check a `.keras` file without TensorFlow, before an environment is made for it.

    Raises:
        StillhouseError: the model is refused.
    """
    try:
        if path.suffix.lower() == ".keras" and path.is_file():
            check_config(read_archive(path), path.name)
    except ModelError as error:
        raise StillhouseError(str(error)) from error


KERAS = Conversion(TENSORFLOW, CONVERT, import_keras, refuse_early)
"""The way of `.keras` files, `.h5` files and SavedModels."""
