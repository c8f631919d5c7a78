"""`stillhouse up | status | stop | nightly`: the embedded stack and a watched run on it; a part of tasks/cli.py."""

from typing import Annotated

import typer

from tasks.embedded import stack
from tasks.settings import load_settings

app = typer.Typer()
DEFAULT_RECIPE = "image_text_retrieval"
EVERY = "all"


@app.command()
def up() -> None:
    """Start the embedded MLflow and Airflow, or keep them if they are up."""
    addresses = stack.start(load_settings(), say)
    print(f"Airflow  {addresses.airflow}  user {addresses.user}, password {addresses.password}")
    print(f"MLflow   {addresses.mlflow}  (no login)")


@app.command()
def status() -> None:
    """Say of each server whether it is up, down or damaged."""
    for name, state in stack.status(load_settings()).items():
        print(f"{name}: {state}")


@app.command()
def stop() -> None:
    """Stop the embedded servers and everything they started."""
    stack.stop(load_settings(), say)


@app.command()
def nightly(
    recipe: Annotated[str, typer.Argument(help="A recipe of dags/recipes/, or `all` of them.")] = DEFAULT_RECIPE,
    once: Annotated[bool, typer.Option(help="Stop the servers afterwards.")] = False,
) -> None:
    """Run a recipe's DAG under Airflow and show it until the verdict."""
    from tasks.embedded.nightly_run import run_nightly

    chosen = _every_recipe() if recipe == EVERY else [recipe]
    raise typer.Exit(max(run_nightly(each, once=once) for each in chosen))


def _every_recipe() -> list[str]:
    """Name all recipes; each runs, whatever became of those before it."""
    return sorted(path.stem for path in (load_settings().root / "dags" / "recipes").glob("*.yaml"))


def say(text: str) -> None:
    """Print at once, for a person who waits."""
    print(text, flush=True)
