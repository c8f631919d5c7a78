"""Stage `register`: make a student that passed its gate a version in MLflow's registry, once and only if it is whole.

MLflow can register a half-uploaded model. This stage therefore downloads the model again and compares it with the
judged file before it makes a version. A version carries the digest of its file, so a second registration finds the
first one. If two hosts make a version of the same file at the same moment, the later version is deleted.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Run

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.artifacts.student_file import expect_digest, locate_student
from stillhouse.tasks.judging.final_test import FinalTest, read_final_test
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.provenance.issue import issue, lineage_of
from stillhouse.tasks.provenance.log_student import log_student
from stillhouse.tasks.provenance.places import RECORD
from stillhouse.tasks.registry.first_version import keep_first
from stillhouse.tasks.registry.versions import CANDIDATE
from stillhouse.tasks.retention.in_use import looking
from stillhouse.tasks.stages.pull import read_pointer
from stillhouse.tasks.tracking.child import Child
from stillhouse.tasks.tracking.tags import PREFIX, STAGE_RUNS

MOST_LABELS = 100
"""Maximum number of classes whose names are stored in a tag of MLflow."""


def register(context: RunContext, stage: Stage) -> dict[str, float | str]:
    """Register the judged student if its verdict is PASS, and point the alias `candidate` at the new version.

    Returns:
        `model` and `version`, or `skipped` with the reason.

    Raises:
        ArtifactError: MLflow does not return the file that was judged.
    """
    inputs = {slot: output_of(context, name).path for slot, name in stage.inputs.items()}
    gate = json.loads((inputs["gate"] / "gate.json").read_text(encoding="utf-8"))
    verdict = gate["verdict"]
    key = json_digest({slot: path.name for slot, path in inputs.items()})
    with context.nightly.child(stage.name, stage.kind, key) as child:
        if verdict != "PASS":
            child.progress(f"not registered: the verdict is {verdict}")
            reasons = "; ".join(check["reason"] for check in gate["checks"] if check["verdict"] != "PASS")
            return {"skipped": f"the verdict is {verdict}, so nothing is registered: {reasons}"}
        with looking(context.settings.state):  # an earlier version of the same bytes may be old enough to go
            version = _register(context, inputs, child)
            context.nightly.client.set_registered_model_alias(context.recipe.name, CANDIDATE, version)
            child.tag("version", version)
        context.nightly.client.update_registered_model(context.recipe.name, _about(context))
        child.progress(f"{context.recipe.name} version {version} is the {CANDIDATE}")
        return {"model": context.recipe.name, "version": version}


def _register(context: RunContext, inputs: dict[str, Path], child: Child) -> str:
    client, model = context.nightly.client, context.recipe.name
    student = locate_student(inputs["models"])
    digest = student.digest
    if known := keep_first(client, model, digest, context.run_key):
        return known
    runs = lineage_of(context)
    uri = log_student(child, student)
    expect_digest(uri, digest)
    evaluation = json.loads((inputs["evaluation"] / "evaluation.json").read_text(encoding="utf-8"))
    record, card = issue(context, inputs, digest, evaluation, runs)
    own = {f"{PREFIX}digest": digest, RECORD.tag: record, f"{PREFIX}labels": _labels(student)}
    tags = _tags(context, inputs["data"], evaluation) | _name_runs(runs) | own
    made = str(mlflow.register_model(uri, model, tags=tags).version)
    version = keep_first(client, model, digest, context.run_key) or made
    about = _describe(evaluation, read_final_test(inputs["final_test"]))
    client.update_model_version(model, version, f"{about}\n\n{card}")
    return version


def _about(context: RunContext) -> str:
    return (
        f"{context.recipe.description}\n\nEvery version passed the gate of a night; the alias `{CANDIDATE}` is the "
        f"newest that did. What is live is in `{context.recipe.name}-production`."
    )


def _labels(student: Bundle) -> str:
    """Return the class names that the server uses, one per line. Empty if the model has no classes or too many."""
    labels: list[str] = student.about.get("labels", [])
    return "\n".join(labels) if len(labels) <= MOST_LABELS else ""


def _describe(evaluation: dict[str, Any], final: FinalTest) -> str:
    student, ratios = evaluation["student"], evaluation["ratios"]
    tested = f"{final.opened.student.value:.2%} on the test split, " if final.opened else ""
    return (
        f"{student['quality']['gate']['value']:.2%} on the gate split "
        f"({ratios['quality']['gate']['value']:.2%} of its teacher), {tested}"
        f"{student['bytes']:,} bytes ({ratios['bytes']:.0f}x fewer), "
        f"{student['latency_ms']['p10']:.3f} ms ({ratios['latency']['value']:.1f}x faster)"
    )


def _tags(context: RunContext, data: Path, evaluation: dict[str, Any]) -> dict[str, str]:
    ratios = evaluation["ratios"]
    facts = {
        "verdict": "PASS",
        "recipe": context.recipe.name,
        "run_key": context.run_key,
        "nightly_run": context.nightly.run_id,
        "data_version": read_pointer(data)["data_version"],
        "code_version": context.frozen.code_version,
        "ratio_bytes": f"{ratios['bytes']:.1f}",
        "ratio_latency": f"{ratios['latency']['value']:.1f}",
        "ratio_quality": f"{ratios['quality']['gate']['value']:.4f}",
    }
    return {PREFIX + name: value for name, value in facts.items()}


def _name_runs(runs: Mapping[str, Run]) -> dict[str, str]:
    """Name the exact runs that made and judged a version. Pages about the version read only these runs."""
    exact = {stage: [run.info.run_id, run.data.tags[f"{PREFIX}digest"]] for stage, run in runs.items()}
    return {f"{PREFIX}teacher_run": runs["teacher"].info.run_id, STAGE_RUNS: json.dumps(exact)}
