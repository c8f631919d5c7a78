"""A whole nightly run without Airflow, for tests that look at what its stages left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from data_samples import make_house

from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_context import open_run
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import Settings, load_settings

RECIPES = Path(__file__).resolve().parent.parent / "dags" / "recipes"
KEY = "tests/whole"


@dataclass(frozen=True)
class Run:
    """What a run left."""

    recipe: Path
    settings: Settings
    results: dict[str, dict[str, Any]]
    """What each stage said in the end."""

    def output(self, stage: str) -> Path:
        """Give a stage's verified output."""
        return output_of(open_run(self.recipe, KEY), stage).path

    def read(self, stage: str, file: str) -> Any:
        """Read a JSON file that a stage wrote."""
        return json.loads((self.output(stage) / file).read_text(encoding="utf-8"))

    def again(self, stage: str) -> dict[str, Any]:
        """Run a stage once more."""
        return run_stage(self.recipe, stage, KEY)


@contextmanager
def whole_run(name: str, root: Path) -> Iterator[Run]:
    """Run every stage of a recipe against a data remote and an MLflow of the test's own."""
    recipe = RECIPES / f"{name}.yaml"
    with pytest.MonkeyPatch.context() as patch:
        make_house(root, patch, load_recipe(recipe).data.dataset)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        patch.chdir(root)
        stages = stages_of(load_recipe(recipe))
        yield Run(recipe, load_settings(), {stage.name: run_stage(recipe, stage.name, KEY) for stage in stages})
