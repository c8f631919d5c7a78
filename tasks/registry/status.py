"""The production status of every recipe: the live version, since when and by whom, waiting candidates, staleness."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import RecipeError, StillhouseError
from stillhouse.tasks.recipe.folders import recipe_files
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.audit import Row
from stillhouse.tasks.registry.staleness import list_staleness, note_staleness
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, is_champion, production_of, version_with_alias
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.deleted import find_experiment

UNMOVED = ("refuse", "resign")
"""Audit actions that do not move the champion."""


def recipes_of(folder: Path) -> Iterator[Recipe]:
    """Load the valid recipes, by name."""
    for path in recipe_files(folder):
        try:
            yield load_recipe(path)
        except RecipeError:
            continue  # its nightly DAG reports the fault


def stale_recipes(client: MlflowClient, settings: Settings, folder: Path) -> list[str]:
    """Name the recipes whose champion comes from an older teacher or older data than the newest ones."""
    return [recipe.name for recipe in recipes_of(folder) if list_staleness(client, settings, recipe)]


def note_all_staleness(client: MlflowClient, settings: Settings, folder: Path, dataset: str) -> list[str]:
    """Tag the stale champions of a dataset's recipes; returns one line for each reason."""
    recipes = (recipe for recipe in recipes_of(folder) if recipe.data.dataset == dataset)
    return [f"{recipe.name}: {reason}" for recipe in recipes for reason in note_staleness(client, settings, recipe)]


def describe_status(client: MlflowClient, settings: Settings, recipe: Recipe) -> list[str]:
    """Describe the status of one recipe in lines; empty if nothing was ever registered."""
    stale = _stale(client, settings, recipe)
    return [*_nights(client, recipe), *_live(client, recipe), *_waiting(client, recipe), *stale]


def _nights(client: MlflowClient, recipe: Recipe) -> Iterator[str]:
    """If the recipe's experiment was deleted, say why no nightly run is possible."""
    try:
        find_experiment(client, recipe.name)
    except StillhouseError as error:
        yield f"no night can run: {error}"


def _live(client: MlflowClient, recipe: Recipe) -> Iterator[str]:
    production = production_of(recipe.name)
    champion = version_with_alias(client, production, CHAMPION)
    try:
        rows = audit.rows_of(client, production)
    except StillhouseError as error:
        yield f"live: {f'version {champion.version}' if champion else 'nothing'}, and the audit is not whole: {error}"
        return
    if champion is None:
        yield from _report_gone(production, rows)
        return
    moves = [row for row in rows if row.after == str(champion.version) and row.action not in UNMOVED]
    last = moves[-1] if moves else None
    since = f"since {last.at}, {last.action} by {last.who}: {last.why}" if last else "moved outside Stillhouse"
    yield f"live: {production} version {champion.version}, {since}"


def _report_gone(production: str, rows: Sequence[Row]) -> Iterator[str]:
    """Report that no version is live any more. Stillhouse itself never causes this."""
    if rows:
        last = rows[-1]
        yield (
            f"live: nothing; the audit ends with {production} version {last.after or last.before}, {last.action} by "
            f"{last.who} at {last.at}: its alias champion, the version or the model was taken away in MLflow; "
            "promote a version again"
        )


def _waiting(client: MlflowClient, recipe: Recipe) -> Iterator[str]:
    candidate = version_with_alias(client, recipe.name, CANDIDATE)
    if candidate and not is_champion(client, recipe.name, candidate):
        yield f"candidate: {recipe.name} version {candidate.version} is not in production"


def _stale(client: MlflowClient, settings: Settings, recipe: Recipe) -> Iterator[str]:
    yield from (f"stale: {reason}" for reason in list_staleness(client, settings, recipe))
