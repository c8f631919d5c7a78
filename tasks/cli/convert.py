"""`stillhouse convert`: a Keras model to ONNX, a student to LiteRT; a part of tasks/cli/main.py."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.tasks.cli.stack import say
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import load_settings

app = typer.Typer()
MOST_CALIBRATION = 500
"""Number of images that determine the scales of a LiteRT file."""


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A .keras or .h5 file or a SavedModel; or a student's checkpoint.")],
    target: Annotated[Path, typer.Argument(help="The new file: .onnx for a teacher, .tflite for a student.")],
    dataset: Annotated[str | None, typer.Option(help="For .tflite: the student's dataset, which gives scales.")] = None,
) -> None:
    """Bring a TensorFlow model in as ONNX, or send a student out as LiteRT. TensorFlow is installed apart, once."""
    if target.suffix == ".onnx":
        _to_onnx(source, target)
    elif target.suffix == ".tflite" and dataset:
        _to_litert(source, target, dataset)
    else:
        msg = f"{target} is neither .onnx nor .tflite with --dataset; name a teacher's .onnx, or give --dataset"
        raise StillhouseError(msg)


def _to_onnx(source: Path, target: Path) -> None:
    from stillhouse.tasks.foreign.keras_import import import_keras

    found = import_keras(source, target, load_settings(), say)
    sides = " x ".join("any" if side is None else str(side) for side in found.shape)
    say(f"{target}: images {sides}, {found.classes} classes, largest difference {found.largest_difference:.1e}")
    say(f"teacher: {{onnx: {target}, sha256: {found.sha256}, layout: {found.layout}, output: {found.output}}}")
    say("add scale, the number by which your code divides raw pixels; leave it out if the model does this itself")


def _to_litert(source: Path, target: Path, dataset: str) -> None:
    from stillhouse.models.data.images import load_images
    from stillhouse.tasks.foreign.litert import export_litert
    from stillhouse.tasks.stages.pull import pull_dataset

    settings = load_settings()
    images_NCHW = load_images(pull_dataset(settings, Data(dataset=dataset)), "calibration").images_NCHW
    size = export_litert(source, images_NCHW[:MOST_CALIBRATION], target, settings, say)
    say(f"{target}: {size:,} bytes, full integers; it takes raw pixels (1, H, W, C)")
