"""The commands for a user's own model."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.models.errors import ModelError
from stillhouse.tasks.errors import StillhouseError

app = typer.Typer()


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="A folder as save_pretrained writes it, or an .onnx file.")],
    speed: Annotated[bool, typer.Option(help="Time each shape in fp32 and int8 on this machine, too.")] = False,
) -> None:
    """Look at a model without running it: task, parameters, components, operators, and which methods apply."""
    from stillhouse.models.inspection.inspect import inspect_model
    from stillhouse.models.inspection.speed import products_of, time_products
    from stillhouse.tasks.cli.inspection_text import describe, describe_speed

    try:
        found = inspect_model(model)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    for line in describe(found):
        typer.echo(line)
    if speed:
        typer.echo()
        for line in describe_speed(time_products(products_of(found.layers))):
            typer.echo(line)
