"""`stillhouse ...`: a person can run everything that Airflow runs."""

import io
import os
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from stillhouse.tasks.cli import convert as cli_convert
from stillhouse.tasks.cli import data as cli_data
from stillhouse.tasks.cli import own_model as cli_own_model
from stillhouse.tasks.cli import production as cli_production
from stillhouse.tasks.cli import retention as cli_retention
from stillhouse.tasks.cli import stack as cli_stack
from stillhouse.tasks.cli.installation import explain_missing
from stillhouse.tasks.cli.stack import DEFAULT_RECIPE, recipe_path, run_watched, say
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.local_stack.stack_record import recall
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
RENAMED = {
    "nightly": "run",
    "show": "stages",
    "try": "predict",
    "replay": "reproduce",
    "refresh": "data ingest",
}
"""Command until version 0.1 -> the command's name now."""
Recipe = Annotated[str, typer.Argument(help="A recipe's name, or the path of its file.")]
Revision = Annotated[str | None, typer.Option(help="Git revision whose data is used.")]
Force = Annotated[bool, typer.Option(help="Do the work again even if nothing changed.")]


def main() -> None:
    """Run a command. A failure that the user can repair ends with one sentence and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the terminal's encoding may lack a character
    try:
        _find_mlflow()
        app()
    except StillhouseError as error:
        sys.exit(f"stillhouse: {error}")
    except ModuleNotFoundError as error:
        if sentence := explain_missing(error):
            sys.exit(f"stillhouse: {sentence}")
        raise
    except PermissionError as error:
        sys.exit(f"stillhouse: {error.filename} cannot be read or written ({error.strerror}); mend its permissions")


def _find_mlflow() -> None:
    """Use the embedded MLflow at its recorded port, unless the environment names another one.

    If the embedded MLflow is down, its port may belong to another deployment by now, so the port is not used.
    """
    embedded = recall(load_settings(), "mlflow")
    if embedded and embedded.is_ours():
        os.environ.setdefault("MLFLOW_TRACKING_URI", embedded.address)


@app.command()
def stage(
    recipe: Recipe,
    name: Annotated[str, typer.Argument(help="A stage's name, as `stillhouse stages` lists it.")],
    run: Annotated[str, typer.Option(help="Which nightly run the stage belongs to.")] = "shell/stages",
    revision: Revision = None,
    force: Force = False,
) -> None:
    """Run one stage of a recipe, or reuse its result."""
    from stillhouse.tasks.pipeline.run_stage import run_stage

    for key, value in run_stage(recipe_path(recipe), name, run, revision=revision, force=force).items():
        print(f"{key}: {value}")


@app.command()
def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name, `all` of them, or `stale`: whose champion is.")
    ] = DEFAULT_RECIPE,
    once: Annotated[bool, typer.Option(help="Stop the servers afterwards.")] = False,
    local: Annotated[
        bool, typer.Option(help="In this shell, without Airflow; without MLflow, nothing is registered.")
    ] = False,
    revision: Revision = None,
    force: Force = False,
) -> None:
    """Run a recipe's DAG under Airflow and show it until the verdict; with --local, run its stages in this shell."""
    if local:
        _run_here(recipe, revision, force=force)
        return
    if revision or force:
        msg = "--revision and --force go with --local; Airflow takes them as `conf` of the DAG run"
        raise StillhouseError(msg)
    run_watched(recipe, once=once)


def _run_here(recipe: str, revision: str | None, *, force: bool) -> None:
    from stillhouse.tasks.local_run.run_here import run_here
    from stillhouse.tasks.pipeline.run_stage import run_stage

    path = recipe_path(recipe)
    key = f"{path.stem}_{datetime.now(UTC):%Y%m%dT%H%M%S}_{os.getpid()}"
    if load_settings().tracking_uri:
        for each in stages_of(load_recipe(path)):
            say(f"== {each.name}")
            run_stage(path, each.name, f"shell/{key}", revision=revision, force=force)
    else:
        run_here(path, key, revision=revision, force=force, progress=say)
    print(f"report: {load_settings().runs / 'latest' / 'report.html'}")


@app.command()
def seeds(
    recipe: Recipe,
    seed: Annotated[list[int] | None, typer.Argument(help="Two or more; default: the recipe's.")] = None,
) -> None:
    """Run a recipe up to its gate once per seed, and print how much the results vary (MLflow must be up)."""
    from stillhouse.tasks.judging.seeds import ESTIMATES, MEASURES, run_seeds

    found = run_seeds(recipe_path(recipe), seed or (), say)
    for name in (*ESTIMATES, *MEASURES):
        low, high = found[name]["interval"]
        values = ", ".join(f"{value:.4g}" for value in found[name]["values"])
        print(f"{name:18} {found[name]['mean']:.4g} ({low:.4g} to {high:.4g}) over {values}")
        if both := found[name].get("interval_with_examples"):
            print(f"{'':18} with the doubt of the gate's examples {both[0]:.4g} to {both[1]:.4g}")
    if "verdict" in found:
        print(f"{found['verdict']}: {found['reason']}")


@app.command()
def stages(recipe: Recipe) -> None:
    """List the stages of a recipe and the stages that each one reads."""
    for each in stages_of(load_recipe(recipe_path(recipe))):
        print(f"{each.name:28} {', '.join(each.inputs.values())}")


@app.command()
def predict(
    recipe: Recipe,
    query: Annotated[list[str], typer.Argument(help="A sentence, or the path of a picture or recording; or several.")],
    seed: Annotated[int | None, typer.Option(help="Write what the model makes of noise with this seed.")] = None,
) -> None:
    """Run a registered model on your own sentences, pictures or recordings, and write a page with its answers."""
    from stillhouse.tasks.serving.predict import make_files
    from stillhouse.tasks.serving.predict import predict as answer

    for path in [] if seed is None else make_files(recipe_path(recipe), query, seed):
        print(f"made: {path}")
    print(f"answers: {answer(recipe_path(recipe), query)}")


for part in (cli_convert, cli_own_model, cli_production, cli_retention, cli_stack):
    app.registered_commands += part.app.registered_commands
app.add_typer(cli_data.app, name="data")


def _refuse(old: str, new: str) -> None:
    """Answer an old command name with the new one, for one release."""

    @app.command(old, hidden=True, context_settings={"ignore_unknown_options": True})
    def refuse(_given: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        msg = f"`stillhouse {old}` is called `stillhouse {new}` now"
        raise StillhouseError(msg)


for renamed in RENAMED.items():
    _refuse(*renamed)
