"""What every stage of a run works with: its recipe as the run began, its run in MLflow, this host's settings."""

from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.pipeline.frozen import Asked, Frozen, join
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.runs import Nightly, connect


@dataclass(frozen=True)
class RunContext:
    """What every stage of a run works with."""

    settings: Settings
    recipe: Recipe
    """What the run began with; the file may say something else by now."""
    recipe_path: Path
    run_key: str
    nightly: Nightly
    frozen: Frozen


def join_run(settings: Settings, asked: Asked, run_key: str, stage_name: str) -> RunContext:
    """Open a run for one of its stages; the run in MLflow is made if there is none.

    Raises:
        RecipeError: the stage is asked for with other data or another seed than the run began with.
        ServiceError: MLflow does not answer.
    """
    nightly, frozen = join(connect(settings.tracking_uri), settings, asked, run_key, stage_name)
    return RunContext(settings, frozen.recipe, asked.path, run_key, nightly, frozen)


def open_run(recipe_path: Path, run_key: str, *, revision: str | None = None, seed: int | None = None) -> RunContext:
    """Open a run for whoever reads it.

    Raises:
        ServiceError: MLflow does not answer.
    """
    return join_run(load_settings(), Asked(recipe_path, revision, seed), run_key, "")
