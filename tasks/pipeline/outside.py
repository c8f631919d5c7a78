"""What a stage depends on beside its recipe slice and the outputs of earlier stages: facts from outside the run.

Each fact is read once. It is part of the stage's key, it stands in the tags of the stage's run, and the stage itself
works with the same value: a fact that changes in the meantime cannot put a result under another fact's key.
"""

from collections.abc import Mapping

from mlflow.entities import Run

from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.registry.versions import champion_of
from stillhouse.tasks.stages.pull import data_digest

TAG = "outside."
"""Before the name of a fact, among our own tags."""


def outside_of(context: RunContext, stage: Stage) -> dict[str, str]:
    """Read the facts of a stage: `data` of pull, `champion` of challenge; `tasks.pipeline.measured` adds the `machine`.

    Raises:
        DataError: the recipe's data revision is unknown or does not pin the dataset.
    """
    if stage.kind == "pull":
        return {"data": context.frozen.data or data_digest(stage.settings["data"])}
    if stage.kind == "challenge":
        return {"champion": champion_of(context.nightly.client, context.recipe.name)}
    return {}


def as_tags(facts: Mapping[str, str]) -> dict[str, str]:
    """Name facts as tags."""
    return {TAG + name: value for name, value in facts.items()}


def facts_of(run: Run, prefix: str) -> dict[str, str]:
    """Read from the tags of a stage's run the facts that it worked with."""
    start = prefix + TAG
    return {name.removeprefix(start): value for name, value in run.data.tags.items() if name.startswith(start)}
