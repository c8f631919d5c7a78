"""Sign a version again if the deployment has lost its signing key. The new signature is audited.

The deployment cannot verify the lost key's signature, so it checks everything else. The file must have the evaluated
digest. The provenance record must be the one that the version was registered with and must be unaltered since it was
signed. It must agree with the nightly run in MLflow. The new record keeps the old signature. The audit is written
before anything changes. If the command is killed, the next call continues where it stopped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.provenance.evidence import evidence_of
from stillhouse.tasks.provenance.places import place_of
from stillhouse.tasks.provenance.signing import (
    SIGNATURE,
    check_signature,
    check_unaltered,
    drop_signature,
    public_key,
    sign,
)
from stillhouse.tasks.provenance.verify import fetch_record
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.audit import Row
from stillhouse.tasks.registry.probe import probe
from stillhouse.tasks.registry.promote import Decision, now, settle
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, find_aliased, production_of, shippable, version_of
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.tags import PREFIX

FORMER = "former_signatures"
NIGHT_TAG, RESIGNED = f"{PREFIX}nightly_run", f"{PREFIX}resigned"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Signing:
    """A version that is signed again, with its context."""

    client: MlflowClient
    settings: Settings
    version: ModelVersion
    former: Json
    """The provenance record with which the version was registered."""

    @property
    def name(self) -> str:
        """Readable name of the version."""
        return f"{self.version.name} version {self.version.version}"


def resign(model: str, version: str, decision: Decision) -> str:
    """Sign a version's provenance record with the deployment's current key.

    Args:
        model: a recipe's model, or its production model.
        version: a version of that model.
        decision: who decided, and why.

    Returns:
        One sentence about the change.

    Raises:
        StillhouseError: the file, the provenance record and the nightly run in MLflow do not agree. Then nothing
            changes.
        ServiceError: MLflow does not answer.
    """
    settings = load_settings()
    recipe = model.removesuffix(production_of(""))
    with settle(recipe) as (client, _):
        chosen = version_of(client, model, version)
        document = fetch_record(client, chosen)
        if json_digest(document) == chosen.tags.get(place_of(chosen).tag) and _is_ours(settings, document):
            return f"{model} version {version} is signed by this deployment already; nothing changed"
        work = Signing(client, settings, chosen, _former(settings, chosen, document))
        _expect_evidence(work)
        return _sign(work, recipe, decision)


def _is_ours(settings: Settings, document: Json) -> bool:
    try:
        check_signature(settings, document)
    except StillhouseError:
        return False
    return True


def _former(settings: Settings, version: ModelVersion, document: Json) -> Json:
    """Return the provenance record with which a version was registered.

    A killed command may have replaced it by the new one already.
    """
    former: Json = document
    if document.get(FORMER) and _is_ours(settings, document):
        *before, last = document[FORMER]
        former = {**drop_signature(document), FORMER: before, SIGNATURE: last}
        former = former if before else {name: value for name, value in former.items() if name != FORMER}
    if json_digest(former) != version.tags.get(place_of(version).tag):
        name = f"{version.name} version {version.version}"
        msg = f"the provenance record of {name} is not the one that it was registered with; register the model again"
        raise StillhouseError(msg)
    check_unaltered(former)
    return former


def _expect_evidence(work: Signing) -> None:
    """Compare the file, the provenance record, and the results of the nightly run in MLflow.

    Raises:
        StillhouseError: two of them differ. The error names the first difference.
    """
    with shippable(work.version) as folder:
        probe(folder)
    found = evidence_of(work.client, work.version, work.settings.tracking_uri)
    evaluation, record = found.evaluation, work.former
    metrics, ratios = record.get("metrics", {}), evaluation.ratios
    pairs = {
        "digest": (_at(record, "file", "digest"), work.version.tags[DIGEST]),
        "bytes": (_at(record, "file", "bytes"), evaluation.student.bytes),
        "verdict": (_at(record, "gate", "verdict"), "PASS"),
        "gate": (record.get("gate"), found.gate),
        "ratio of bytes": (_at(metrics, "ratios", "bytes"), ratios.bytes),
        "ratio of time": (_at(metrics, "ratios", "latency"), ratios.latency.model_dump()),
        "quality": (_at(metrics, "student", "quality", "gate"), evaluation.student.quality.gate.model_dump()),
        "lineage": (_missing(work), []),
    }
    for what, (said, recorded) in pairs.items():
        if json.dumps(said, sort_keys=True) != json.dumps(recorded, sort_keys=True):
            fault = f"the provenance record of {work.name} has another {what} than MLflow recorded"
            msg = f"{fault}, so it is not signed anew; run the recipe again"
            raise StillhouseError(msg)


def _at(document: Any, *keys: str) -> Any:  # noqa: ANN401 - a place in a JSON document
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _missing(work: Signing) -> list[str]:
    """Name the stages of the record for which the nightly run in MLflow has no run with the same key and output."""
    client, night = work.client, work.version.tags[NIGHT_TAG]
    with answering():
        experiment = client.get_run(night).info.experiment_id
        runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{night}'")
    facts = ("stage", "stage_key", "digest")
    known = {tuple(run.data.tags.get(PREFIX + fact) for fact in facts) for run in runs}
    lineage = work.former.get("lineage") or [{"stage": "teacher"}]
    return [str(stage.get("stage")) for stage in lineage if tuple(stage.get(fact) for fact in facts) not in known]


def _sign(work: Signing, recipe: str, decision: Decision) -> str:
    """Sign the version again.

    The order is: the audit row, the new provenance record, the tags of all versions with the same file and nightly run.
    """
    former, client = work.former, work.client
    content = {**drop_signature(former), FORMER: [*former.get(FORMER, []), former[SIGNATURE]]}
    document = sign(work.settings, content)
    ours, theirs = str(public_key(work.settings)), str(former[SIGNATURE]["public_key"])
    unverified = f"the signature of the key {theirs[:16]}... could not be verified, this deployment has {ours[:16]}..."
    said = f"{decision.why} ({unverified})"
    records = {"record_before": json_digest(former), "record": json_digest(document)}
    about = {"digest": work.version.tags[DIGEST], "candidate": f"{work.version.name}/{work.version.version}"}
    evidence = {**decision.evidence, **records, **about, "key_before": theirs, "key": ours}
    _audit(client, recipe, replace(decision, why=said, evidence=evidence))
    client.log_dict(work.version.tags[NIGHT_TAG], document, place_of(work.version).path)
    for each in _same_file(work, recipe):
        client.set_model_version_tag(each.name, each.version, RESIGNED, f"{decision.who}: {decision.why}")
        client.set_model_version_tag(each.name, each.version, place_of(each).tag, json_digest(document))
    return f"{work.name} is signed by this deployment now; the audit of {production_of(recipe)} says by whom and why"


def _audit(client: MlflowClient, recipe: str, decision: Decision) -> None:
    production = production_of(recipe)
    champion = find_aliased(client, production, CHAMPION)
    deed = json_digest(["resign", production, decision.evidence["record_before"], decision.evidence["key"]])
    said = (decision.who, decision.why, now(), decision.evidence)
    audit.append(client, Row(deed, production, "resign", champion, champion, *said))


def _same_file(work: Signing, recipe: str) -> list[ModelVersion]:
    """List the recipe's and production's versions with the same nightly run and file. The chosen one is last."""
    own = (work.version.name, str(work.version.version))
    found: list[ModelVersion] = []
    for model in (recipe, production_of(recipe)):
        found += work.client.search_model_versions(f"name = '{model}'")
    shared = {NIGHT_TAG: work.version.tags[NIGHT_TAG], DIGEST: work.version.tags[DIGEST]}
    same = [each for each in found if shared.items() <= each.tags.items()]
    return sorted(same, key=lambda each: (each.name, str(each.version)) == own)
