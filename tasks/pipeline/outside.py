"""Facts from outside the run that a stage depends on, in addition to its part of the recipe and earlier outputs.

Each fact is read once. The stage's key includes it, the tags of the stage's run record it, and the stage uses the same
value. If a fact changes during the stage, the result is therefore still stored under the key of the old fact.
"""

from collections.abc import Mapping

from mlflow.entities import Run

from stillhouse.tasks.data.checks.contract import find_checker
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.registry.versions import champion_of
from stillhouse.tasks.stages.pull import data_digest

TAG = "outside."
"""Prefix of the name of a fact, among our own tags."""


def outside_of(context: RunContext, stage: Stage) -> dict[str, str]:
    """Read the facts of a stage.

    `pull` has `data`, `validate` has the version of `great_expectations`, and `compare_champion` has `champion`.
    `tasks.pipeline.measured` adds `machine`.

    Raises:
        DataError: the recipe's data revision is unknown or does not pin the dataset.
    """
    if stage.kind == "pull":
        return {"data": context.frozen.data or data_digest(stage.settings["data"])}
    if stage.kind == "validate":
        return {"great_expectations": find_checker()}
    if stage.kind == "compare_champion":
        return {"champion": champion_of(context.nightly.client, context.recipe.name)}
    return {}


def as_tags(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the facts under the names of their tags."""
    return {TAG + name: value for name, value in facts.items()}


def facts_of(run: Run, prefix: str) -> dict[str, str]:
    """Read the facts that a stage used from the tags of its run."""
    start = prefix + TAG
    return {name.removeprefix(start): value for name, value in run.data.tags.items() if name.startswith(start)}
