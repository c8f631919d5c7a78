"""What a run began with: its recipe, its code and its data version, kept with its MLflow run.

The first stage writes it and every later stage reads it there, so that a file edited meanwhile changes nothing of a
run that goes on. When the first stage runs again with something else, a new MLflow run begins under the same run id:
what the earlier one made stays as it was.
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
from stillhouse.tasks.pipeline.providers import expect_same, used_by
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import data_digest
from stillhouse.tasks.tracking.runs import FINISHED, PREFIX, Nightly, find_nightly, open_nightly, start_nightly

FIRST = "pull"
"""The stage that begins a run."""
FOLDER, RECIPE_FILE, RUN_FILE = "run", "recipe.yaml", "run.json"
"""Where it lies among the parent run's artifacts: the recipe's text, and all of it as JSON."""
TAG = f"{PREFIX}began_with"
"""Tag of the parent run: digest of run.json, written last."""


@dataclass(frozen=True)
class Asked:
    """What a call of a stage names: the recipe's file, and what may differ from it."""

    path: Path
    revision: str | None = None
    seed: int | None = None

    def recipe(self) -> Recipe:
        """Read the recipe as it is now.

        Raises:
            RecipeError: the file cannot be used.
        """
        content = load_recipe(self.path).model_dump()
        if self.revision is not None:
            content["data"]["revision"] = self.revision
        if self.seed is not None:
            content["seed"] = self.seed
        return Recipe.model_validate(content)


@dataclass(frozen=True)
class Frozen:
    """What a run works with from its first stage to its last."""

    recipe: Recipe
    """With the data revision and the seed that the first stage was asked for."""
    recipe_yaml: str
    """The file's text."""
    revision: str | None
    seed: int | None
    """What the first stage was asked for in place of the recipe's."""
    code_version: str
    code_digest: str
    """Of every source file, committed or not."""
    data: str
    """DVC's MD5 of the data; empty where it was not known."""
    providers: list[dict[str, str]] = field(default_factory=list)
    """Installed packages that the recipe uses, as `tasks.pipeline.providers.used_by` describes them."""

    def lines(self, asked: Asked, run_key: str) -> Iterator[str]:
        """Say what is no longer as it was when the run began."""
        if edited(self, asked):
            yield (
                f"{asked.path.name} was edited after run {run_key} began: this run keeps the recipe it began with, "
                "and the edit takes effect with the next run"
            )
        if code_digest() != self.code_digest:
            yield (
                f"the code changed after run {run_key} began with {self.code_version}: no version of this run gets a "
                "passport; begin the run again to register"
            )


def edited(frozen: Frozen, asked: Asked) -> bool:
    """Tell whether the recipe's file says something else by now."""
    try:
        return Asked(asked.path, frozen.revision, frozen.seed).recipe() != frozen.recipe
    except RecipeError:
        return True


@cache  # once per process, as a process goes on with the code that it has loaded
def code_digest() -> str:
    """Digest all our source files, as they are when a process first asks."""
    files = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    return json_digest({path.relative_to(ROOT).as_posix(): file_digest(path) for path in files})


def join(client: MlflowClient, settings: Settings, asked: Asked, run_key: str, stage: str) -> tuple[Nightly, Frozen]:
    """Find a run with what it began with; its first stage, and any stage of a run that is not there, begins it.

    Raises:
        RecipeError: the recipe's file cannot be used, or the run began with another revision or seed.
        StillhouseError: what the run began with cannot be read.
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
    """Read what a run began with; None where it was never written, or not to its end.

    Raises:
        ServiceError: MLflow does not give it back.
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
            return None  # ended in between: the first stage did not begin
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
    """Keep it; the tag goes last, as a run without it has not begun."""
    content = asdict(frozen) | {"recipe": frozen.recipe.model_dump(mode="json")}
    nightly.client.log_text(nightly.run_id, frozen.recipe_yaml, f"{FOLDER}/{RECIPE_FILE}")
    nightly.client.log_dict(nightly.run_id, content, f"{FOLDER}/{RUN_FILE}")
    nightly.client.set_tag(nightly.run_id, TAG, json_digest(content))


def _now(settings: Settings, asked: Asked) -> Frozen:
    recipe = asked.recipe()
    try:
        data = data_digest(recipe.data)
    except DataError:
        data = ""  # the stage pull says what is wrong with it
    text = asked.path.read_text(encoding="utf-8")
    code = code_version(settings.root), code_digest()
    return Frozen(recipe, text, asked.revision, asked.seed, *code, data, used_by(recipe))


def _expect_same(frozen: Frozen, asked: Asked, run_key: str) -> None:
    wanted = {"data revision": (asked.revision, frozen.recipe.data.revision), "seed": (asked.seed, frozen.recipe.seed)}
    for name, (now, then) in wanted.items():
        if now is not None and now != then:
            msg = f"run {run_key} began with {name} {then}, not {now}; begin it again with the stage {FIRST}"
            raise RecipeError(msg)
