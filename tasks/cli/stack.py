"""`stillhouse up | status | stop`: the local stack, and a watched run on it; a part of tasks/cli/main.py."""

from pathlib import Path

import typer

from stillhouse.tasks.cli.installation import expect_airflow
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.recipe.folders import find_recipe, recipe_files
from stillhouse.tasks.settings import Settings, load_settings

app = typer.Typer()
DEFAULT_RECIPE = "image_text_retrieval"
EVERY, STALE = "all", "stale"


@app.command()
def up() -> None:
    """Start the embedded MLflow and Airflow. Servers that are up keep running."""
    expect_airflow()
    addresses = stack.start(load_settings(), say)
    print(f"Airflow  {addresses.airflow}  user {addresses.user}, password {addresses.password}")
    print(f"MLflow   {addresses.mlflow}  (no login)")


@app.command()
def status() -> None:
    """Show which servers are up, and for each recipe what is live, what waits and what is stale."""
    for name, state in stack.status(load_settings()).items():
        print(f"{name}: {state}")
    try:
        _say_standing(load_settings())
    except ServiceError as error:
        print(f"production: not known, {error}")


def _say_standing(settings: Settings) -> None:
    from stillhouse.tasks.registry.status import describe_status, recipes_of
    from stillhouse.tasks.tracking.connection import connect

    client = connect(settings.tracking_uri)
    for recipe in recipes_of(settings.root / "dags" / "recipes"):
        if lines := describe_status(client, settings, recipe):
            print("\n  ".join([recipe.name, *lines]))


@app.command()
def stop() -> None:
    """Stop the embedded servers and all processes that they started."""
    stack.stop(load_settings(), say)


def run_watched(recipe: str, *, once: bool) -> None:
    """Run a recipe's DAG under Airflow and show it until the verdict. Ends the command with the run's exit code."""
    from stillhouse.tasks.local_stack.nightly_run import run_nightly

    expect_airflow()
    chosen = {EVERY: _every_recipe, STALE: _stale_recipes}.get(recipe, lambda: [recipe])()
    if not chosen:
        print("nothing in production is stale")
    raise typer.Exit(max((run_nightly(each, once=once) for each in chosen), default=0))


def _every_recipe() -> list[str]:
    """Name all recipes. Each recipe runs, even if an earlier one failed."""
    return [path.stem for path in recipe_files(load_settings().root / "dags" / "recipes")]


def _stale_recipes() -> list[str]:
    from stillhouse.tasks.registry.status import stale_recipes
    from stillhouse.tasks.tracking.connection import connect

    settings = load_settings()
    return stale_recipes(connect(settings.tracking_uri), settings, settings.root / "dags" / "recipes")


def say(text: str) -> None:
    """Print a line at once, for a person who waits."""
    print(text, flush=True)


def recipe_path(name: str) -> Path:
    """Find a recipe by its name. A path to a .yaml file is returned unchanged."""
    return Path(name) if name.endswith(".yaml") else find_recipe(load_settings().root / "dags" / "recipes", name)
