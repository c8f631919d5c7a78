"""Send a student out as a LiteRT file, and judge LiteRT files, both in TensorFlow's environment."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.latency import Schedule
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.environment import ensure_environment
from stillhouse.tasks.foreign.inside import run_inside
from stillhouse.tasks.settings import Settings

CONVERT = "stillhouse.models.litert.convert"
JUDGE = "stillhouse.models.litert.judge"


@dataclass(frozen=True)
class Judged:
    """What LiteRT and ONNX Runtime answered for some files, and how big and fast they are."""

    answers_NK: Sequence[NDArray[np.float32]]
    """Logits or probabilities of each file."""
    bytes: Sequence[int]
    comparisons: Sequence[dict[str, Any]]
    """The first file against each other one: fields of `models.measurement.latency.Comparison`."""
    machine: dict[str, Any]


def export_litert(
    student: Path,
    calibration_NCHW: NDArray[np.uint8],
    out_tflite: Path,
    settings: Settings,
    progress: Callable[[str], None],
) -> int:
    """Write a checkpoint of an image classifier as a LiteRT file of full integers.

    The trained weights are rounded to int8 for each channel. Weights that were trained as integers of 8 bits or fewer
    lie on such a grid already.

    Args:
        student: checkpoint folder, as the stage `compress` writes it.
        calibration_NCHW: raw images (N, C, H, W) that determine the scales of the activations.
        out_tflite: path of the new file.
        settings: the deployment whose state folder holds the environment.
        progress: is told what takes long.

    Returns:
        Bytes of the file.

    Raises:
        StillhouseError: the student has an operator without a LiteRT form, or the environment cannot be made.
    """
    python = ensure_environment(settings, progress)
    progress(f"converting the student to {out_tflite.name}")
    with tempfile.TemporaryDirectory() as scratch:
        onnx, images = Path(scratch) / "student.onnx", Path(scratch) / "images.npy"
        write_float(student, onnx)
        np.save(images, calibration_NCHW)
        request = {"onnx": str(onnx), "images": str(images), "tflite": str(out_tflite.resolve())}
        return int(run_inside(python, CONVERT, request)["bytes"])


def judge_files(
    files: Sequence[Path],
    images_NCHW: NDArray[np.uint8],
    schedule: Schedule,
    settings: Settings,
    progress: Callable[[str], None],
) -> Judged:
    """Run `.tflite` and plain `.onnx` files on raw images, and time the first one against each other one in turns.

    Raises:
        StillhouseError: a runtime cannot open a file, or the environment cannot be made.
    """
    python = ensure_environment(settings, progress)
    progress(f"running and timing {', '.join(path.name for path in files)}")
    with tempfile.TemporaryDirectory() as scratch:
        images, answers = Path(scratch) / "images.npy", Path(scratch) / "answers.npz"
        np.save(images, images_NCHW)
        request = {
            "files": [str(path.resolve()) for path in files],
            "images": str(images),
            "answers": str(answers),
            "schedule": asdict(schedule),
        }
        found = run_inside(python, JUDGE, request)
        with np.load(answers) as stored:
            answers_NK = [stored[str(place)] for place in range(len(files))]
    return Judged(answers_NK, found["bytes"], found["comparisons"], found["machine"])


def write_float(student: Path, path: Path) -> None:
    """Write the fp32 ONNX file of an image classifier's checkpoint.

    Raises:
        StillhouseError: the checkpoint is of another model.
    """
    from stillhouse.models.compression.fold import fold_batch_norm
    from stillhouse.models.onnx.export import export_float
    from stillhouse.models.training.checkpoint import load_model

    try:
        module, architecture = load_model(student)
        if (architecture.takes, architecture.gives) != ("image", "logits"):
            msg = f"{student} is no image classifier; LiteRT files are made of these only"
            raise StillhouseError(msg)
        export_float(fold_batch_norm(module), architecture, path)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
