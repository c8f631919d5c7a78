"""The commands for a user's own model."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.models.errors import ModelError
from stillhouse.tasks.cli.stack import recipe_path
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import load_settings

app = typer.Typer()


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="A folder as save_pretrained writes it, or an .onnx file.")],
    speed: Annotated[bool, typer.Option(help="Time each shape in fp32 and int8 on this machine, too.")] = False,
) -> None:
    """Look at a model without running it: task, parameters, components, operators, and which methods apply."""
    from stillhouse.models.inspection.inspect import inspect_model
    from stillhouse.models.inspection.speed import products_of, time_products
    from stillhouse.tasks.artifacts.model_folder import folder_digest
    from stillhouse.tasks.cli.inspection_text import describe, describe_speed

    try:
        found = inspect_model(model)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    for line in describe(found):
        typer.echo(line)
    if model.is_dir():
        typer.echo(f"\nteacher.sha256 in a recipe: {folder_digest(model)}")
    if speed:
        typer.echo()
        for line in describe_speed(time_products(products_of(found.layers))):
            typer.echo(line)


@app.command()
def check(recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of its file.")]) -> None:
    """Find in about a minute what would stop a night: data, splits, shapes, training, export, methods, gate, memory."""
    from stillhouse.tasks.rehearsal.check import check_recipe

    faults = 0
    for finding in check_recipe(recipe_path(recipe), lambda line: typer.echo(f"...   {line}")):
        faults += bool(finding.fault)
        typer.echo(f"{'FAULT' if finding.fault else 'ok   '} {finding.check}: {finding.fault or finding.note}")
    if faults:
        raise typer.Exit(1)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the package, the recipe and the model.")],
    dataset: Annotated[str, typer.Option(prompt="Dataset of pictures", help="A dataset that data.dvc pins.")],
    into: Annotated[Path, typer.Option(help="Folder in which the package's folder is made.")] = Path(),
) -> None:
    """Write a package with a student network of your own: network, recipe, tiny recipe, test."""
    from stillhouse.tasks.data.format.dataset import read_description
    from stillhouse.tasks.recipe.section import Data
    from stillhouse.tasks.skeleton.init import write_skeleton
    from stillhouse.tasks.stages.pull import pull_dataset

    described = read_description(pull_dataset(load_settings(), Data(dataset=dataset)))
    for path in write_skeleton(name, described, into):
        typer.echo(path)
    typer.echo(f"read {(into / name / 'README.md')}: it has the next commands")
