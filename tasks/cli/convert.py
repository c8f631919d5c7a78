"""`stillhouse convert`: a Keras model to ONNX, a student to other runtimes; a part of tasks/cli/main.py."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.models.errors import ModelError
from stillhouse.tasks.cli.stack import say
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import load_settings

app = typer.Typer()
MOST_CALIBRATION = 500
"""Number of images that determine the scales of a LiteRT file."""


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A Keras model; a student's bundle; or a student's checkpoint.")],
    target: Annotated[
        Path | None, typer.Argument(help="A new .onnx file of a teacher, or .tflite of a student.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="The student's dataset, or a recipe that names it.")] = None,
    to: Annotated[str | None, typer.Option(help="A runtime, such as openvino, which judges the student too.")] = None,
    into: Annotated[Path | None, typer.Option(help="With --to: a new folder for the files.")] = None,
) -> None:
    """Bring a TensorFlow model in as ONNX, or send a student out. Other runtimes are installed apart, once."""
    if to is not None:
        _to_target(source, to, into, dataset)
    elif target is not None and target.suffix == ".onnx":
        _to_onnx(source, target)
    elif target is not None and target.suffix == ".tflite" and dataset:
        _to_litert(source, target, dataset)
    else:
        msg = (
            f"{source} goes nowhere yet: name a new .onnx file for a Keras model, a new .tflite file and --dataset for "
            "a student, or a runtime with --to"
        )
        raise StillhouseError(msg)


def _to_target(source: Path, to: str, into: Path | None, dataset: str | None) -> None:
    from stillhouse.tasks.targets.convert import convert_to
    from stillhouse.tasks.targets.source import open_source
    from stillhouse.tasks.targets.targets import target_of

    target = target_of(to)
    if into is None or dataset is None:
        msg = f"--to {to} needs --into, a new folder, and --dataset, whose gate split judges the files; give both"
        raise StillhouseError(msg)
    try:
        opened = open_source(source)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    say(f"{into}: {convert_to(target, opened, _data(dataset), into, load_settings(), say).sentence}")


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

    images_NCHW = load_images(_data(dataset), "calibration").images_NCHW
    size = export_litert(source, images_NCHW[:MOST_CALIBRATION], target, load_settings(), say)
    say(f"{target}: {size:,} bytes, full integers; it takes raw pixels (1, H, W, C)")


def _data(dataset: str) -> Path:
    """Find a dataset by its name in data.dvc, or by a recipe, such as one that `stillhouse compress` wrote."""
    from stillhouse.tasks.recipe.recipe import load_recipe
    from stillhouse.tasks.stages.pull import pull_dataset

    named = load_recipe(Path(dataset)).data if dataset.endswith(".yaml") else Data(dataset=dataset)
    return pull_dataset(load_settings(), named)
