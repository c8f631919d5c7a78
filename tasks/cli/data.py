"""`stillhouse data [ingest]`: the pinned data, and new data versions from raw files; a part of tasks/cli/main.py."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.tasks.cli.stack import say
from stillhouse.tasks.data.importing.wanted import Task
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import load_settings

app = typer.Typer(help="The data that data.dvc pins, and new data.")


@app.callback(invoke_without_command=True)
def data(
    context: typer.Context,
    commit: Annotated[bool, typer.Option(help="Maintainers: pin what was built in data.dvc.")] = False,
) -> None:
    """Make sure that the DVC remote has all pinned data. If data is missing, build it from its sources."""
    if context.invoked_subcommand:
        return
    from stillhouse.tasks.data.store.build_data import commit_data, ensure_data
    from stillhouse.tasks.data.store.revision import read_pinned

    settings = load_settings()
    if commit:
        commit_data(settings, say)
        say("data.dvc pins what was built; commit it")
        return
    for name in read_pinned(settings.root, None):
        ensure_data(settings, Data(dataset=name), say)
    say("the DVC remote has the data that data.dvc pins")


@app.command("import")
def import_data(  # noqa: PLR0913, PLR0917 - one flag each
    name: Annotated[str, typer.Argument(help="Name of the dataset, for the recipe's data.dataset.")],
    source: Annotated[
        str, typer.Argument(help="A folder, a file or s3://BUCKET/PREFIX of pictures, recordings or texts.")
    ],
    task: Annotated[Task | None, typer.Option(help="What the data is for. By default the source decides.")] = None,
    side: Annotated[int, typer.Option(min=8, max=1024, help="Height and width of the pictures, in pixels.")] = 32,
    grey: Annotated[bool, typer.Option(help="One channel instead of three.")] = False,
    text_column: Annotated[str | None, typer.Option(help="Column of the texts in a table.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels in a table.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Names of a model's classes in its order, one a line.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, max=60, help="Length of the recordings.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the data, for the bundle of every model.")] = "unknown",
) -> None:
    """Make a dataset of your own data, split it by digest, push it to the DVC remote and pin it in data.dvc."""
    from stillhouse.tasks.data.importing.import_folder import import_folder
    from stillhouse.tasks.data.importing.labels import read_classes
    from stillhouse.tasks.data.importing.wanted import LINE_HEIGHT, LINES, Wanted

    size = (LINE_HEIGHT, 0) if task == LINES else (side, side)
    shape, names = (1 if grey else 3, *size), read_classes(classes) if classes else ()
    wanted = Wanted(name, source, shape, licence, task, text_column, label_column, seconds, names)
    found = import_folder(load_settings(), wanted, say)
    labels = f"{len(found.labels)} classes" if found.labels else "no labels"
    say(f"{labels}; {', '.join(f'{split} {count:,}' for split, count in found.counts.items())}")
    say(f"{found.rejected:,} rows left out" + (f"; {found.report} says why" if found.rejected else ""))
    say(f"data.dvc pins {name}; commit it, and name {name} as data.dataset in a recipe")


@app.command()
def ingest(dataset: Annotated[str, typer.Argument(help="Name of a dataset that data.dvc pins.")]) -> None:
    """Check the batches in a dataset's inbox and make a new data version of each sound batch."""
    from stillhouse.tasks.data.ingest.ingest import ingest

    states = []
    for outcome in ingest(load_settings(), dataset, say):
        say(f"{outcome.batch}: {outcome.state}: {outcome.sentence}")
        states.append(outcome.state)
    if not states:
        say(f"nothing landed for {dataset}")
    if refused := states.count("quarantined"):
        msg = (
            f"{refused} of {len(states)} batches of {dataset} went to quarantine; mend what reason.txt beside them says"
        )
        raise StillhouseError(msg)
