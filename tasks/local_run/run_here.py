"""Run the stages of a recipe in this process, with an MLflow of files: no server, no scheduler, no git.

Such a run ends with the same verdict and report as a nightly run. It registers nothing: the registry, the comparison
with production and the load test belong to a deployment.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.errors import RecipeError, StillhouseError
from stillhouse.tasks.local_run.local_store import make_local_store
from stillhouse.tasks.pipeline.graph import Stage, stages_of
from stillhouse.tasks.pipeline.run_context import LOCAL, open_run
from stillhouse.tasks.pipeline.run_stage import Result, run_stage
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.settings import load_settings

REPORT = "report"
TRACKING = "MLFLOW_TRACKING_URI"


def run_here(  # noqa: PLR0913 - which stages of which run, and what may differ from the recipe
    recipe_path: Path,
    run_key: str,
    *,
    until: str = REPORT,
    revision: str | None = None,
    force: bool = False,
    progress: Callable[[str], None],
) -> dict[str, Result]:
    """Run the stages of a recipe in their order, or reuse their results.

    Args:
        recipe_path: the recipe's file.
        run_key: names the run on this host. If a run was interrupted, the same key continues it.
        until: last stage that is run. Without `report`, the run has no report and stays open.
        revision: data revision that replaces the recipe's.
        force: do the work again even if nothing changed.
        progress: shows one line.

    Returns:
        Stage name -> its metrics. `report` has the verdict and the path of report.html.

    Raises:
        StillhouseError: a stage failed. If the run was to end with its report, the report is there and says so.
    """
    stages = list(_list_until(load_recipe(recipe_path), until))
    results: dict[str, Result] = {}
    with _local_mlflow():
        for stage in stages:
            progress(f"== {stage.name}")
            try:
                results[stage.name] = run_stage(
                    recipe_path, stage.name, LOCAL + run_key, revision=revision, force=force
                )
            except StillhouseError:
                if until == REPORT != stage.name:
                    run_stage(recipe_path, REPORT, LOCAL + run_key)  # raises the sentence with the path of the report
                raise
    return results


def outputs_here(recipe_path: Path, run_key: str, stages: Sequence[str]) -> dict[str, Path]:
    """Return the folders with the outputs of some stages of a run that `run_here` made. Every byte is checked.

    Raises:
        ArtifactError: a stage has not finished.
    """
    with _local_mlflow():
        context = open_run(recipe_path, LOCAL + run_key)
        return {name: output_of(context, name).path for name in stages}


def stages_here(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages of a recipe that need no server, in their order."""
    return tuple(stage for stage in stages_of(recipe) if not KINDS[stage.kind].served)


def _list_until(recipe: Recipe, until: str) -> Iterator[Stage]:
    stages = stages_here(recipe)
    if until not in {stage.name for stage in stages}:
        names = ", ".join(stage.name for stage in stages)
        msg = f"recipe {recipe.name} has no stage {until!r} without a server; use one of {names}"
        raise RecipeError(msg)
    for stage in stages:
        yield stage
        if stage.name == until:
            return


@contextmanager
def _local_mlflow() -> Iterator[None]:
    """Let the stages use the MLflow of files, and leave the environment as it was."""
    before = os.environ.get(TRACKING)
    os.environ[TRACKING] = make_local_store(load_settings())
    try:
        yield
    finally:
        os.environ.pop(TRACKING)
        if before is not None:
            os.environ[TRACKING] = before
