"""Staleness: the champion comes from an older teacher or older data than the newest ones."""

from collections.abc import Iterator

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.tasks.data.store.data_branch import find_newest_md5
from stillhouse.tasks.data.store.revision import read_pinned_md5
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.registry.versions import CHAMPION, production_of, version_with_alias
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.deleted import search_everywhere
from stillhouse.tasks.tracking.tags import FINISHED, PREFIX

STALE = f"{PREFIX}stale"
"""Tag of a stale champion, with the reasons."""
NIGHTS = 20
"""Number of newest teachers that are checked."""


def list_staleness(client: MlflowClient, settings: Settings, recipe: Recipe) -> list[str]:
    """List the reasons why a recipe's champion is stale; empty if it is not stale or there is no champion."""
    champion = version_with_alias(client, production_of(recipe.name), CHAMPION)
    return list(_reasons(client, settings, recipe, champion)) if champion else []


def note_staleness(client: MlflowClient, settings: Settings, recipe: Recipe) -> list[str]:
    """Tag a recipe's champion as stale, or remove the tag; returns the reasons."""
    champion = version_with_alias(client, production_of(recipe.name), CHAMPION)
    if champion is None:
        return []
    reasons = list(_reasons(client, settings, recipe, champion))
    if reasons:
        client.set_model_version_tag(champion.name, champion.version, STALE, "; ".join(reasons))
    elif STALE in champion.tags:
        client.delete_model_version_tag(champion.name, champion.version, STALE)
    return reasons


def _reasons(client: MlflowClient, settings: Settings, recipe: Recipe, champion: ModelVersion) -> Iterator[str]:
    try:
        newest = _newest_digest(settings, recipe.data)
    except DataError:
        return  # the nightly run reports the fault of its data
    version = champion.tags.get(f"{PREFIX}data_version", "")
    if version and not version.endswith(newest):
        yield f"its data is {version}, the newest version of {recipe.data.dataset} is {newest}"
    teacher = _teacher_on(client, recipe.name, newest)
    own = champion.tags.get(f"{PREFIX}teacher_run", "")
    before = _digest_of(client, own)
    if teacher and before and before != teacher.data.tags.get(f"{PREFIX}digest"):
        yield f"its teacher is of MLflow run {own}, the newest of run {teacher.info.run_id}"


def _newest_digest(settings: Settings, data: Data) -> str:
    """Return the end of the newest data version that the recipe may use."""
    if data.sha256:
        return data.sha256
    if data.revision:
        return read_pinned_md5(settings.root, data.revision, data.dataset)
    return find_newest_md5(settings.root, data.dataset)


def _teacher_on(client: MlflowClient, recipe: str, md5: str) -> Run | None:
    """Find the newest teacher of a recipe's nightly runs on one data version.

    Seed trials have no report and are ignored.
    """
    experiment = client.get_experiment_by_name(recipe)
    if experiment is None:
        return None
    query = f"tags.`{PREFIX}stage` = 'teacher' and attributes.status = '{FINISHED}'"
    order = ["attributes.start_time DESC"]
    for run in client.search_runs([experiment.experiment_id], query, max_results=NIGHTS, order_by=order):
        parent = run.data.tags["mlflow.parentRunId"]  # the parent run may be deleted
        nights = client.search_runs([experiment.experiment_id], f"attributes.run_id = '{parent}'")
        if any(night.data.tags.get(f"{PREFIX}data_version", "").endswith(md5) for night in nights):
            return run
    return None


def _digest_of(client: MlflowClient, teacher_run: str) -> str | None:
    """Return the digest of a run's teacher; `None` if MLflow no longer has the run.

    The run is searched for: an MLflow with a login denies a run that is not there, instead of saying so.
    """
    with answering():
        found = search_everywhere(client, f"attributes.run_id = '{teacher_run}'")
    digest = found[0].data.tags.get(f"{PREFIX}digest") if found else None
    return None if digest is None else str(digest)
