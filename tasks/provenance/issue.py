"""Issue a provenance record when a version is registered.

The record is built from the nightly run, signed, and stored among the run's artifacts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.errors import ArtifactError, StillhouseError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.judging.final_test import read_final_test
from stillhouse.tasks.pipeline.frozen import code_digest
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.lineage import CODE, missing, runs_of
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.pipeline.stage_key import code_of
from stillhouse.tasks.provenance.log_student import packages_of
from stillhouse.tasks.provenance.places import CARD, RECORD
from stillhouse.tasks.provenance.record import assemble_record, model_card
from stillhouse.tasks.provenance.signing import sign
from stillhouse.tasks.stages.pull import read_pointer
from stillhouse.tasks.tracking.tags import PREFIX


def lineage_of(context: RunContext) -> dict[str, Run]:
    """Return stage -> the run that finished with the nightly run's recipe, for every stage that a version comes from.

    Raises:
        ArtifactError: a stage has no such run.
        StillhouseError: a stage ran with other code than the code at the start of the nightly run.
    """
    runs, frozen = runs_of(context.recipe, context.nightly.children()), context.frozen
    if absent := missing(context.recipe, runs):
        msg = (
            f"no run of stage {absent[0]} has finished with the recipe that run {context.run_key} began with, so its "
            "provenance record would not be true; run that stage and those after it again"
        )
        raise ArtifactError(msg)
    stages = [stage for stage in stages_of(context.recipe) if stage.reusable]
    now = {stage.name: code_of(stage.kind, stage.workload, stage.providers) for stage in stages}
    other = [stage.name for stage in stages if runs[stage.name].data.tags[PREFIX + CODE] != now[stage.name]]
    if other or code_digest() != frozen.code_digest:
        where = f" ({', '.join(other)} ran with other code than there is now)" if other else ""
        msg = (
            f"the code changed after run {context.run_key} began with {frozen.code_version}{where}, so its "
            "provenance record would not be true and nothing is registered; begin the run again, what has not changed "
            "is reused"
        )
        raise StillhouseError(msg)
    return runs


def issue(
    context: RunContext, inputs: Mapping[str, Path], digest: str, evaluation: Mapping[str, Any], runs: Mapping[str, Run]
) -> tuple[str, str]:
    """Build, sign and store the provenance record of these stage runs; returns its digest and the model card."""
    client, night = context.nightly.client, context.nightly.run_id
    pointer = read_pointer(inputs["data"])
    parsed, final = parse_evaluation(evaluation), read_final_test(inputs["final_test"])
    document = sign(
        context.settings,
        assemble_record(
            model=context.recipe.name,
            file={"digest": digest, "bytes": parsed.student.bytes},
            data={name: pointer[name] for name in ("dataset", "data_version", "digest")},
            code_version=context.frozen.code_version,
            providers=context.frozen.providers,
            recipe=context.recipe.model_dump(mode="json"),
            evaluation=parsed,
            final_test=final,
            gate=json.loads((inputs["gate"] / "gate.json").read_text(encoding="utf-8")),
            packages=packages_of(context.recipe.workload),
            lineage=[_stage(stage.name, runs[stage.name]) for stage in stages_of(context.recipe) if stage.reusable],
        ),
    )
    card = model_card(document, parsed, final)
    client.log_dict(night, document, RECORD.path)
    client.log_text(night, card, CARD)
    return json_digest(document), card


def _stage(name: str, run: Run) -> dict[str, str]:
    return {"stage": name} | {fact: run.data.tags[PREFIX + fact] for fact in ("stage_key", "digest")}
