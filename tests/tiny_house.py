"""A house whose small recipe runs from data to registry in seconds, on a data remote and an MLflow of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from data_samples import built_digits, digest_of, make_house

from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import find_newest_of_each
from stillhouse.tasks.tracking.tags import PREFIX

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class House:
    """A house of the test's own: its data remote, its MLflow database, a small recipe."""

    settings: Settings
    recipe: Path

    def run(self, key: str, *, until: str = "report", force: bool = False) -> dict[str, Any]:
        """Run the recipe's stages up to one, and give the last one's metrics."""
        metrics: dict[str, Any] = {}
        for stage in stages_of(load_recipe(self.recipe)):
            metrics = run_stage(self.recipe, stage.name, key, force=force)
            if stage.name == until:
                break
        return metrics

    def parent(self, key: str) -> Any:
        """MLflow run of a whole nightly run."""
        client = connect(self.settings.tracking_uri)
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        return client.search_runs([experiment.experiment_id], f"tags.`{PREFIX}run_key` = '{key}'")[0]

    def stages(self, key: str) -> dict[str, Any]:
        """MLflow runs of a nightly run's stages, by stage, each that was tried last."""
        parent = self.parent(key).info
        query = f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
        found = connect(self.settings.tracking_uri).search_runs([parent.experiment_id], query)
        return find_newest_of_each(found)

    def output(self, key: str, stage: str) -> Path:
        """Where a stage's output lies on this host."""
        return self.settings.artifacts / self.stages(key)[stage].data.tags[f"{PREFIX}stage_key"]

    def change(self, **gate: float) -> None:
        """Change limits of the recipe's gate."""
        content = yaml.safe_load(self.recipe.read_text(encoding="utf-8"))
        content["gate"] |= gate
        self.recipe.write_text(yaml.safe_dump(content), encoding="utf-8")


def tiny_recipe(root: Path) -> Path:
    """Shrink the seed recipe until it takes a few seconds."""
    content = yaml.safe_load((ROOT / "dags" / "recipes" / "seed_digits.yaml").read_text(encoding="utf-8"))
    content["name"] = "tiny"
    content["teacher"]["network"]["arguments"] = {"channels": 16, "hidden": 64}
    content["teacher"]["training"]["epochs"] = 6
    content["steps"][0]["distillation"]["training"]["epochs"] = 10
    content["latency"] = {"repeats": 3, "max_repeats": 3, "rounds": 10, "pause_seconds": 0.0}
    content["gate"] = {"quality": 0.7, "bytes": 2, "latency": 0.1}
    path = root / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def use_local_data(recipe: Path, state: Path, *methods: str) -> None:
    """Put the digits into the cache of a host, and let a recipe name them by their digest.

    Args:
        recipe: the recipe's file.
        state: the host's state folder.
        methods: the steps that the recipe keeps; none: all.
    """
    digest = digest_of(built_digits())
    shutil.copytree(built_digits(), state / "data" / digest)
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    content["data"] = {"dataset": "digits", "sha256": digest}
    content["steps"] = [step for step in content["steps"] if not methods or step["method"] in methods]
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")


@contextmanager
def tiny_house(root: Path, tracking_uri: str | None = None) -> Iterator[House]:
    """Set a house up, with an MLflow server or else a database of its own; nothing in it is faked."""
    with pytest.MonkeyPatch.context() as patch:
        make_house(root, patch)
        patch.setenv("MLFLOW_TRACKING_URI", tracking_uri or f"sqlite:///{root}/mlflow.db")
        patch.chdir(root)
        yield House(load_settings(), tiny_recipe(root))
