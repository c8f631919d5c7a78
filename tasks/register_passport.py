"""Issue a passport when a version is registered: built from the night, signed, kept among the night's artifacts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Run

from tasks.artifact import json_digest
from tasks.code_version import code_version
from tasks.pipeline import stages_of
from tasks.production.passport import model_card, passport
from tasks.production.signing import signed
from tasks.pull_data import read_pointer
from tasks.reporting.evaluation import parse_evaluation
from tasks.reporting.final_test import read_final_test
from tasks.tracking import PREFIX

if TYPE_CHECKING:
    from tasks.stage import Desk

FOLDER, PASSPORT, CARD = "passport", "passport.json", "model_card.md"


def issue(desk: "Desk", inputs: Mapping[str, Path], digest: str, evaluation: Mapping[str, Any]) -> tuple[str, str]:
    """Build, sign and keep the passport of what the night made; returns its digest and the model card."""
    client, night = desk.nightly.client, desk.nightly.run_id
    runs = {run.data.tags.get(f"{PREFIX}stage"): run for run in desk.nightly.children()}
    pointer = read_pointer(inputs["data"])
    parsed, final = parse_evaluation(evaluation), read_final_test(inputs["final_test"])
    document = signed(
        desk.settings,
        passport(
            model=desk.recipe.name,
            file={"digest": digest, "bytes": parsed.student.bytes},
            data={name: pointer[name] for name in ("dataset", "data_version", "digest")},
            code_version=code_version(desk.settings.root),
            recipe=desk.recipe.model_dump(mode="json"),
            evaluation=parsed,
            final_test=final,
            gate=json.loads((inputs["gate"] / "gate.json").read_text(encoding="utf-8")),
            lineage=[_stage(stage.name, runs[stage.name]) for stage in stages_of(desk.recipe) if stage.reusable],
        ),
    )
    card = model_card(document, parsed, final)
    client.log_dict(night, document, f"{FOLDER}/{PASSPORT}")
    client.log_text(night, card, f"{FOLDER}/{CARD}")
    return json_digest(document), card


def _stage(name: str, run: Run) -> dict[str, str]:
    return {"stage": name} | {fact: run.data.tags[PREFIX + fact] for fact in ("stage_key", "digest")}
