"""Bring a folder of timm in: as an ONNX file that takes raw pixels, with timm's preparation inside."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stillhouse.tasks.foreign.convert_once import Conversion
from stillhouse.tasks.foreign.environment import TIMM, ensure_packages
from stillhouse.tasks.foreign.inside import run_inside
from stillhouse.tasks.settings import Settings

CONVERT = "stillhouse.models.timm.convert"


def from_timm(shape: Sequence[int]) -> Conversion:
    """Return the way of a timm folder, for raw pictures of a shape: channels, height and width."""
    return Conversion(TIMM, CONVERT, partial(import_timm, shape=shape), about={"shape": [*shape]})


def import_timm(
    path: Path, out_onnx: Path, settings: Settings, progress: Callable[[str], None], *, shape: Sequence[int]
) -> None:
    """Convert a folder with config.json and safetensors to ONNX and compare both, in a process of its own.

    Args:
        path: the folder.
        out_onnx: path of the new file. Nothing is written unless it computes what timm computes.
        settings: the deployment whose state folder holds timm.
        progress: is told what takes long.
        shape: channels, height and width of the raw pictures.

    Raises:
        StillhouseError: the model is refused or differs, or timm cannot be installed.
    """
    packages = ensure_packages(settings, progress, TIMM)
    progress(f"converting {path.name} to ONNX and comparing both")
    request = {"model": str(path.resolve()), "onnx": str(out_onnx.resolve()), "shape": [*shape]}
    run_inside(Path(sys.executable), CONVERT, request, packages)
