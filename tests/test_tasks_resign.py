"""A deployment that lost its signing key signs anew what it registered, if file, record and night bear it out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, killed_at_call, registered, with_night
from report_samples import evaluation, gate_result

from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.provenance.places import RECORD
from stillhouse.tasks.provenance.resign import FORMER, resign
from stillhouse.tasks.provenance.signing import KEY, check_signature, check_unaltered, sign
from stillhouse.tasks.provenance.verify import fetch_record, verify
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, find_aliased, production_of
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.tags import PREFIX

PRODUCTION = production_of(MODEL)
ANN = Decision("ann", "the disk with the key died")
STAGES = ("gate", "evaluate")
LINEAGE = [{"stage": stage, "stage_key": f"key of {stage}", "digest": f"digest of {stage}"} for stage in STAGES]


def sample(client: MlflowClient, seed: int = 1, **changes: Any) -> str:
    """Register a version with a whole provenance record and the night it says."""
    version = with_night(client, registered(client, seed))
    tags = client.get_model_version(MODEL, version).tags
    for run in children(client, version):
        for stage in LINEAGE:
            if run.data.tags[f"{PREFIX}stage"] == stage["stage"]:
                for fact in ("stage_key", "digest"):
                    client.set_tag(run.info.run_id, PREFIX + fact, stage[fact])
    parsed = parse_evaluation(evaluation())
    file = {"digest": tags[DIGEST], "bytes": parsed.student.bytes}
    parts: dict[str, Any] = {
        "metrics": {
            "student": {"quality": {"gate": parsed.student.quality.gate.model_dump()}},
            "ratios": {"bytes": parsed.ratios.bytes, "latency": parsed.ratios.latency.model_dump()},
        },
        "gate": gate_result(),
        "lineage": LINEAGE,
    }
    parts |= changes | {"model": MODEL, "file": file | changes.get("file", {})}
    keep(client, version, sign(load_settings(), parts))
    return version


def keep(client: MlflowClient, version: str, document: dict[str, Any]) -> None:
    """Make a document the registered provenance record of a version."""
    client.log_dict(night_of(client, version), document, RECORD.path)
    client.set_model_version_tag(MODEL, version, RECORD.tag, json_digest(document))


def night_of(client: MlflowClient, version: str) -> str:
    night: str = client.get_model_version(MODEL, version).tags[f"{PREFIX}nightly_run"]
    return night


def children(client: MlflowClient, version: str) -> list[Run]:
    night = night_of(client, version)
    experiment = client.get_run(night).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{night}'"))


def lose_key() -> None:
    shutil.rmtree(load_settings().state / "keys")


def faults(model: str, version: str) -> list[str]:
    return [fault for _, fault in verify(model, version) if fault]


def test_a_version_whose_key_is_lost_is_signed_anew_and_promoted(client: MlflowClient) -> None:
    """Before, nothing can be promoted; after, the version is as good as ever, and the audit says who, why and what."""
    version = sample(client)
    before = fetch_record(client, client.get_model_version(MODEL, version))
    lose_key()
    with pytest.raises(StillhouseError, match=r"not signed by this deployment \(it has no key yet\); .* resign`$"):
        promote(MODEL, ANN)
    assert resign(MODEL, version, ANN) == (
        "tiny version 1 is signed by this deployment now; the audit of tiny-production says by whom and why"
    )
    after = fetch_record(client, client.get_model_version(MODEL, version))
    check_signature(load_settings(), after)
    assert after[FORMER] == [before["signature"]]
    assert {name for name in after if before.get(name) != after[name]} == {FORMER, "signature"}
    (row,) = audit.rows_of(client, PRODUCTION)
    assert (row.action, row.who, row.before, row.after) == ("resign", "ann", None, None)
    assert row.why.startswith("the disk with the key died (the signature of the key ")
    assert "could not be verified" in row.why
    assert row.evidence["key_before"] == before["signature"]["public_key"]
    assert row.evidence["key"] == after["signature"]["public_key"]
    assert faults(MODEL, version) == []
    assert promote(MODEL, ANN).startswith("tiny version 1 is the champion now")
    assert resign(MODEL, version, ANN) == "tiny version 1 is signed by this deployment already; nothing changed"


def test_what_is_in_production_is_signed_anew_with_it(client: MlflowClient) -> None:
    """The copy in production shares the record, so both verify again, whichever is named; the champion stays."""
    version = sample(client)
    promote(MODEL, ANN)
    for model in (PRODUCTION, MODEL):
        lose_key()
        assert len(faults(model, version)) == 1
        assert "signed by this deployment now" in resign(model, version, ANN)
        assert faults(MODEL, version) == faults(PRODUCTION, "1") == []
    assert find_aliased(client, PRODUCTION, CHAMPION) == "1"
    assert [row.action for row in audit.rows_of(client, PRODUCTION)] == ["promote", "resign", "resign"]
    found = fetch_record(client, client.get_model_version(MODEL, version))
    assert len(found[FORMER]) == 2
    assert client.get_model_version(PRODUCTION, "1").tags[f"{PREFIX}resigned"] == "ann: the disk with the key died"


DIFFERENT: dict[str, dict[str, Any]] = {
    "digest": {"file": {"digest": "0" * 64}},
    "bytes": {"file": {"bytes": 1}},
    "verdict": {"gate": {**gate_result(), "verdict": "FAIL"}},
    "gate": {"gate": {**gate_result(), "checks": []}},
    "ratio of bytes": {"metrics": {}},
    "lineage": {"lineage": [*LINEAGE, {"stage": "teacher", "stage_key": "k", "digest": "another"}]},
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_the_night_does_not_bear_out_is_not_signed(client: MlflowClient, what: str) -> None:
    """A record that says other than what MLflow recorded stays unsigned, and nothing is audited or changed."""
    version = sample(client, **DIFFERENT[what])
    refused(client, version, rf"has another {what} than MLflow recorded, so it is not signed anew; run the ")


def refused(client: MlflowClient, version: str, match: str) -> None:
    lose_key()
    tags = client.get_model_version(MODEL, version).tags
    with pytest.raises(StillhouseError, match=match):
        resign(MODEL, version, ANN)
    assert client.get_model_version(MODEL, version).tags == tags
    assert audit.rows_of(client, PRODUCTION) == []


def alter(client: MlflowClient, version: str) -> None:
    document = fetch_record(client, client.get_model_version(MODEL, version))
    client.log_dict(night_of(client, version), {**document, "seeds": 2}, RECORD.path)


def alter_with_its_tag(client: MlflowClient, version: str) -> None:
    keep(client, version, {**fetch_record(client, client.get_model_version(MODEL, version)), "seeds": 2})


def drop_signature(client: MlflowClient, version: str) -> None:
    document = fetch_record(client, client.get_model_version(MODEL, version))
    keep(client, version, {name: value for name, value in document.items() if name != "signature"})


def drop_night(client: MlflowClient, version: str) -> None:
    for run in children(client, version):
        client.delete_run(run.info.run_id)


def another_file(client: MlflowClient, version: str) -> None:
    client.set_model_version_tag(MODEL, version, DIGEST, "0" * 64)


def no_verdict(client: MlflowClient, version: str) -> None:
    client.set_model_version_tag(MODEL, version, f"{PREFIX}verdict", "FAIL")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (alter, "is not the one that it was registered with; register the model again$"),
        (alter_with_its_tag, "the provenance record was altered after it was signed"),
        (drop_signature, "the provenance record was altered after it was signed"),
        (drop_night, "MLflow has no whole night of tiny version 1"),
        (another_file, "not the judged file 0000"),
        (no_verdict, "did not pass a gate of Stillhouse"),
    ],
)
def test_what_was_altered_is_not_signed(
    client: MlflowClient, change: Callable[[MlflowClient, str], None], match: str
) -> None:
    """An altered or unsigned provenance record, a night that is gone and a file that was not judged stay unsigned."""
    version = sample(client)
    change(client, version)
    refused(client, version, match)


@pytest.mark.long
def test_whoever_is_killed_the_version_is_signed_anew_once(client: MlflowClient) -> None:
    """Killed at any call that changes MLflow, the same command ends with a good record and one row of the audit."""
    version = sample(client)
    promote(MODEL, ANN)
    for number in range(1, 30):
        lose_key()
        sign(load_settings(), {})
        rows = len(audit.rows_of(client, PRODUCTION))
        killed = killed_at_call(number, lambda: resign(MODEL, version, ANN), after=bool(number % 2))
        resign(MODEL, version, ANN)
        assert faults(MODEL, version) == faults(PRODUCTION, "1") == []
        assert len(audit.rows_of(client, PRODUCTION)) == rows + 1
        if not killed:
            break
    assert number > 4


def other_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*pem, serialization.NoEncryption())


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", other_key()])
def test_a_key_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """An empty, broken or foreign key file ends in one sentence with the remedy, in signing and in checking."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / KEY).write_bytes(content)
    for use in (lambda: sign(load_settings(), {}), lambda: check_signature(load_settings(), {"signature": {}})):
        with pytest.raises(StillhouseError, match=r"^the signing key .* restore it from its copy, or move it away"):
            use()


NONE = [None, {}, "x", {"public_key": "zz", "value": "="}, {"public_key": 7, "value": 7}]


@pytest.mark.parametrize("signature", NONE)
def test_a_signature_that_is_none_is_named(signature: object) -> None:
    """A document without a signature, or with something else in its place, counts as altered."""
    with pytest.raises(StillhouseError, match="was altered after it was signed"):
        check_unaltered(json.loads(json.dumps({"signature": signature})))


def test_checking_makes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that only verifies has no key afterwards."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    with pytest.raises(StillhouseError, match="not signed by this deployment"):
        check_signature(load_settings(), {})
    assert list(tmp_path.iterdir()) == []
