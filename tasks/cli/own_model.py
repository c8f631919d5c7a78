"""The commands for a user's own model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.models.errors import ModelError
from stillhouse.tasks.cli.stack import recipe_path, say
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import load_settings

app = typer.Typer()


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="A folder of transformers or timm, an .onnx or a Keras file.")],
    speed: Annotated[bool, typer.Option(help="Time each shape in fp32 and int8 on this machine, too.")] = False,
) -> None:
    """Look at a model without running it: task, parameters, components, operators, and which methods apply."""
    from stillhouse.models.inspection.inspect import inspect_model
    from stillhouse.models.inspection.speed import products_of, time_products
    from stillhouse.tasks.artifacts.model_folder import folder_digest
    from stillhouse.tasks.cli.inspection_text import describe, describe_speed
    from stillhouse.tasks.foreign.keras_import import read_header

    try:
        found = inspect_model(model, lambda path: read_header(path, load_settings()))
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
def compress(  # noqa: PLR0913, PLR0917 - one flag each
    model: Annotated[Path, typer.Argument(help="A folder of transformers or timm, an .onnx or a Keras file.")],
    data: Annotated[str, typer.Option(help="A folder, a file or s3://BUCKET/PREFIX of pictures, recordings or texts.")],
    task: Annotated[str | None, typer.Option(help="What the model is for, if its files do not say it.")] = None,
    keep: Annotated[str, typer.Option(help="Least quality, as a share of the teacher's.")] = "99%",
    smaller: Annotated[str, typer.Option(help="Least times smaller than the teacher.")] = "4x",
    faster: Annotated[str, typer.Option(help="Least times as fast as the teacher.")] = "2x",
    minutes: Annotated[float, typer.Option(help="Longest time of the search.")] = 20.0,
    name: Annotated[str | None, typer.Option(help="Name of the recipe and of the result.")] = None,
    side: Annotated[int, typer.Option(min=8, max=1024, help="Height and width of pictures, in pixels.")] = 32,
    grey: Annotated[bool, typer.Option(help="One channel instead of three.")] = False,
    text_column: Annotated[str | None, typer.Option(help="Column of the texts in a table.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels in a table.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Names of a model's classes in its order, one a line.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, max=60, help="Length of the recordings.")] = None,
    characters: Annotated[Path | None, typer.Option(help="Characters of a recogniser of lines, one a line.")] = None,
    into: Annotated[Path, typer.Option(help="Folder for the result.")] = Path("compressed"),
    target: Annotated[str, typer.Option(help="Runtime that the student goes out to.")] = "onnxruntime",
    dry_run: Annotated[bool, typer.Option(help="Only write the recipes, and estimate time and memory.")] = False,
) -> None:
    """Compress your own model: climb from int8 to a smaller student until the goals or the minutes are reached."""
    from stillhouse.tasks.data.importing.labels import read_classes
    from stillhouse.tasks.data.importing.wanted import Wanted
    from stillhouse.tasks.ladder import compress as ladder
    from stillhouse.tasks.ladder.goals import parse_goals
    from stillhouse.tasks.ladder.names import name_of

    called = name or name_of(model)
    goals = parse_goals(keep, smaller, faster, minutes)
    shape, names = (1 if grey else 3, side, side), read_classes(classes) if classes else ()
    wanted = Wanted(called, data, shape, "unknown", None, text_column, label_column, seconds, names)
    order = ladder.Order(called, model, task, wanted, goals, into, target, characters)
    try:
        if dry_run:
            for line in ladder.estimate(order, say):
                typer.echo(line)
            return
        typer.echo(ladder.compress(order, say))
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    typer.echo(f"report: {into / called / 'report.html'}")


@app.command()
def schedule(
    name: Annotated[str, typer.Argument(help="Name of a result of `stillhouse compress`, or the path of its recipe.")],
    cron: Annotated[str, typer.Option(help="When it runs, in UTC.")] = "0 3 * * *",
    into: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("compressed"),
) -> None:
    """Put a recipe and its data into this deployment: a DVC version, a DAG, a nightly schedule, the first night."""
    from stillhouse.tasks.ladder.schedule import schedule as put
    from stillhouse.tasks.local_stack.nightly_run import start_first_night
    from stillhouse.tasks.local_stack.screen import Screen

    path = Path(name) if name.endswith(".yaml") else into / name / "recipes" / f"{name}.yaml"
    if not path.is_file():
        msg = f"there is no recipe {path}; run `stillhouse compress` first, or name the path of a recipe"
        raise StillhouseError(msg)
    target = put(load_settings(), path, cron, say)
    typer.echo(f"{target} runs at {cron} UTC while Airflow is up (stillhouse up)")
    typer.echo("data.dvc pins its data; commit both")
    typer.echo(start_first_night(load_settings(), target, Screen(sys.stdout)))


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
