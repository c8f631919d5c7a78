"""Find the MLflow runs that made the outputs of a night, among all runs of the night's stages.

A stage may run several times in one night, with other data, other code or another recipe. Each key has its own MLflow
run. A run belongs to the lineage if it has finished and if its key follows from the recipe and the earlier runs.
"""

from collections.abc import Iterable
from dataclasses import replace

from mlflow.entities import Run

from stillhouse.tasks.pipeline.graph import Stage, stages_of
from stillhouse.tasks.pipeline.outside import facts_of
from stillhouse.tasks.pipeline.stage_key import stage_key
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.tracking.runs import sort_newest_first
from stillhouse.tasks.tracking.tags import FINISHED, PREFIX, STAGE

KEY = f"{PREFIX}stage_key"
DIGEST = f"{PREFIX}digest"
CONTENT = f"{PREFIX}content"
"""Digest of the data that `pull` pinned.

Keys of later stages include this digest, not the digest of the pointer file.
"""
CODE = "stage_code"
"""Tag: digest of the source and the libraries that a stage ran with."""


def runs_of(recipe: Recipe, children: Iterable[Run]) -> dict[str, Run]:
    """Return stage name -> the finished run that made its output for this recipe.

    A stage without such a run is left out.

    Args:
        recipe: the recipe that the night began with.
        children: the runs of the night's stages.
    """
    newest, found = sort_newest_first(children), dict[str, Run]()
    for stage in stages_of(recipe):
        own = [run for run in newest if run.data.tags.get(STAGE) == stage.name]
        run = next((run for run in own if _follows(stage, run, found)), None)
        if run is not None and run.info.status == FINISHED and DIGEST in run.data.tags:
            found[stage.name] = run
    return found


def inputs_of(stage: Stage, runs: dict[str, Run]) -> dict[str, str]:
    """Return input name -> digest of the artifact that a stage reads, as the stage's key includes it."""
    tags = {slot: runs[name].data.tags for slot, name in stage.inputs.items()}
    return {slot: found.get(CONTENT, found.get(DIGEST, "")) for slot, found in tags.items()}


def _follows(stage: Stage, run: Run, before: dict[str, Run]) -> bool:
    """Tell whether a run's key equals the stage's key, computed with the facts and code in the run's tags."""
    if not stage.reusable or not before.keys() >= set(stage.inputs.values()):
        return False
    known, tags = replace(stage, outside=facts_of(run, PREFIX)), run.data.tags
    return bool(tags.get(KEY) == stage_key(known, inputs_of(stage, before), tags.get(PREFIX + CODE, "")))


def missing(recipe: Recipe, runs: dict[str, Run]) -> list[str]:
    """Name the stages of a version's lineage that have no run."""
    return [stage.name for stage in stages_of(recipe) if stage.reusable and stage.name not in runs]
