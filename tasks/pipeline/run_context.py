"""The objects that every stage of a run uses: the run's frozen recipe, its MLflow run, this host's settings."""

from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.pipeline.frozen import Asked, Frozen, join
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import Nightly

LOCAL = "local/"
"""Start of the run key of a run that uses no server."""


@dataclass(frozen=True)
class RunContext:
    """The objects that every stage of a run uses."""

    settings: Settings
    recipe: Recipe
    """The recipe that the run began with. The file may have changed since."""
    recipe_path: Path
    run_key: str
    nightly: Nightly
    frozen: Frozen

    @property
    def is_local(self) -> bool:
        """Whether the run uses no server; see `tasks.local_run.run_here`."""
        return self.run_key.startswith(LOCAL)


def join_run(settings: Settings, asked: Asked, run_key: str, stage_name: str) -> RunContext:
    """Open a run for one of its stages. If MLflow has no such run, it is created.

    Raises:
        RecipeError: the stage is called with other data or another seed than the run began with.
        ServiceError: MLflow does not answer.
    """
    nightly, frozen = join(connect(settings.tracking_uri), settings, asked, run_key, stage_name)
    return RunContext(settings, frozen.recipe, asked.path, run_key, nightly, frozen)


def open_run(recipe_path: Path, run_key: str, *, revision: str | None = None, seed: int | None = None) -> RunContext:
    """Open a run to read it.

    Raises:
        ServiceError: MLflow does not answer.
    """
    return join_run(load_settings(), Asked(recipe_path, revision, seed), run_key, "")
