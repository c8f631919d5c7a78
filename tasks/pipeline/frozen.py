"""The recipe, the code and the data version that a run begins with, stored with its MLflow run.

The first stage writes them. Every later stage reads them from MLflow, so an edit of the recipe's file does not change
a run that is in progress. If the first stage runs again with other inputs, a new MLflow run begins under the same run
id, and the earlier MLflow run stays unchanged.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import file_digest, json_digest
from stillhouse.tasks.artifacts.code_version import CODE, code_version
from stillhouse.tasks.artifacts.source_digest import ROOT
from stillhouse.tasks.errors import DataError, RecipeError, ServiceError, StillhouseError
from stillhouse.tasks.pipeline.providers import expect_same, list_used
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import data_digest
from stillhouse.tasks.tracking.runs import Nightly, find_nightly, open_nightly, start_nightly
from stillhouse.tasks.tracking.tags import FINISHED, PREFIX

FIRST = "pull"
"""The stage that begins a run."""
FOLDER, RECIPE_FILE, RUN_FILE = "run", "recipe.yaml", "run.json"
"""Folder and files among the parent run's artifacts: the recipe's text, and the whole `Frozen` as JSON."""
TAG = f"{PREFIX}began_with"
"""Tag of the parent run: the digest of run.json. The tag is written last."""


@dataclass(frozen=True)
class Asked:
    """The arguments of a call of a stage: the recipe's file, and the values that replace values of the recipe."""

    path: Path
    revision: str | None = None
    seed: int | None = None

    def recipe(self) -> Recipe:
        """Read the recipe from its file and apply the replaced values.

        Raises:
            RecipeError: the file cannot be used, or its data has no revisions.
        """
        content = load_recipe(self.path).model_dump()
        if self.revision is not None and content["data"]["sha256"]:
            msg = f"{self.path.name} names its data by sha256; leave the revision {self.revision} out"
            raise RecipeError(msg)
        if self.revision is not None:
            content["data"]["revision"] = self.revision
        if self.seed is not None:
            content["seed"] = self.seed
        return Recipe.model_validate(content)


@dataclass(frozen=True)
class Frozen:
    """The recipe, code and data that a run uses from its first stage to its last."""

    recipe: Recipe
    """The recipe, with the data revision and the seed that the first stage was called with."""
    recipe_yaml: str
    """Text of the recipe's file."""
    revision: str | None
    seed: int | None
    """Revision and seed that the first stage was called with; None uses the recipe's own."""
    code_version: str
    code_digest: str
    """Digest of every source file, committed or not."""
    data: str
    """Digest of the data version, as `data_digest` gives it; empty if it was unknown."""
    providers: list[dict[str, str]] = field(default_factory=list)
    """Installed packages that the recipe uses, in the form that `tasks.pipeline.providers.list_used` returns."""

    def lines(self, asked: Asked, run_key: str) -> Iterator[str]:
        """Yield one line for each thing that has changed since the run began."""
        if is_edited(self, asked):
            yield (
                f"{asked.path.name} was edited after run {run_key} began: this run keeps the recipe it began with, "
                "and the edit takes effect with the next run"
            )
        if code_digest() != self.code_digest:
            yield (
                f"the code changed after run {run_key} began with {self.code_version}: no version of this run gets a "
                "record; begin the run again to register"
            )


def is_edited(frozen: Frozen, asked: Asked) -> bool:
    """Tell whether the recipe's file now differs from the recipe that the run began with."""
    try:
        return Asked(asked.path, frozen.revision, frozen.seed).recipe() != frozen.recipe
    except RecipeError:
        return True


@cache  # once per process: a process keeps the code that it loaded
def code_digest() -> str:
    """Return the digest of all our source files, as they are at the first call in a process."""
    files = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    return json_digest({path.relative_to(ROOT).as_posix(): file_digest(path) for path in files})


def join(client: MlflowClient, settings: Settings, asked: Asked, run_key: str, stage: str) -> tuple[Nightly, Frozen]:
    """Find a run and the `Frozen` that it began with.

    The first stage begins the run; so does any stage if there is none.

    Raises:
        RecipeError: the recipe's file cannot be used, or the run began with another revision or seed.
        StillhouseError: the stored `Frozen` of the run cannot be read.
    """
    nightly = find_nightly(client, asked.path.stem, run_key)
    kept = read_frozen(nightly) if nightly else None
    if nightly and kept and stage != FIRST:
        _expect_same(kept, asked, run_key)
        return nightly, kept
    now = _now(settings, asked)
    if nightly is None:
        nightly = open_nightly(client, asked.path.stem, run_key)
    elif kept == now:
        return nightly, now
    elif kept and any(run.info.status == FINISHED for run in nightly.children()):
        nightly = start_nightly(nightly, run_key)
    _write(nightly, now)
    return nightly, now


def read_frozen(nightly: Nightly) -> Frozen | None:
    """Read the `Frozen` that a run began with. Returns None if it was not written, or not completely.

    Raises:
        ServiceError: MLflow does not return it.
        StillhouseError: this code cannot read it.
    """
    digest = nightly.client.get_run(nightly.run_id).data.tags.get(TAG)
    if digest is None:
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = nightly.client.download_artifacts(nightly.run_id, f"{FOLDER}/{RUN_FILE}", folder)
            content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        if json_digest(content) != digest:
            return None  # the first stage was interrupted before it set the tag, so the run has not begun
        expect_same(content.get("providers", ()), f"run {nightly.run_id}")
        return Frozen(**content | {"recipe": Recipe.model_validate(content["recipe"])})
    except OSError as error:
        msg = f"MLflow does not give back what run {nightly.run_id} began with ({_one_line(error)}); look at its log"
        raise ServiceError(msg) from error
    except (ValueError, TypeError, KeyError) as error:
        msg = f"this code cannot read what run {nightly.run_id} began with ({_one_line(error)}); begin another run"
        raise StillhouseError(msg) from error


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _write(nightly: Nightly, frozen: Frozen) -> None:
    """Store `frozen` in MLflow. The tag is written last: a run without the tag has not begun."""
    content = asdict(frozen) | {"recipe": frozen.recipe.model_dump(mode="json")}
    nightly.client.log_text(nightly.run_id, frozen.recipe_yaml, f"{FOLDER}/{RECIPE_FILE}")
    nightly.client.log_dict(nightly.run_id, content, f"{FOLDER}/{RUN_FILE}")
    nightly.client.set_tag(nightly.run_id, TAG, json_digest(content))


def _now(settings: Settings, asked: Asked) -> Frozen:
    recipe = asked.recipe()
    try:
        data = data_digest(recipe.data)
    except DataError:
        data = ""  # the stage `pull` reports what is wrong with the data
    text = asked.path.read_text(encoding="utf-8")
    code = code_version(settings.root), code_digest()
    return Frozen(recipe, text, asked.revision, asked.seed, *code, data, list_used(recipe))


def _expect_same(frozen: Frozen, asked: Asked, run_key: str) -> None:
    wanted = {"data revision": (asked.revision, frozen.recipe.data.revision), "seed": (asked.seed, frozen.recipe.seed)}
    for name, (now, then) in wanted.items():
        if now is not None and now != then:
            msg = f"run {run_key} began with {name} {then}, not {now}; begin it again with the stage {FIRST}"
            raise RecipeError(msg)
