"""Provenance records: what they say, and that nobody else can have said it."""

import importlib.metadata
import json
from pathlib import Path

import pytest
from report_samples import passing_run

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.judging.final_test import parse_final_test
from stillhouse.tasks.provenance.log_student import RUNTIME
from stillhouse.tasks.provenance.record import assemble_record, model_card, sbom
from stillhouse.tasks.provenance.signing import check_signature, sign
from stillhouse.tasks.settings import Settings

RUN = passing_run()
EVALUATION = parse_evaluation(RUN.evaluation or {})
FINAL = parse_final_test(RUN.final_test or {})


def house(folder: Path) -> Settings:
    return Settings(folder, folder / "state", folder / "runs", "")


def document() -> dict[str, object]:
    return assemble_record(
        model="tiny",
        file={"digest": "ab" * 32, "bytes": EVALUATION.student.bytes},
        data={"dataset": "digits", "data_version": "v3", "digest": "cd" * 32},
        code_version="0123abc",
        providers=[],
        recipe=RUN.recipe.model_dump(mode="json"),
        evaluation=EVALUATION,
        final_test=FINAL,
        gate=dict(RUN.gate or {}),
        lineage=[{"stage": "teacher", "stage_key": "k", "digest": "d"}],
        packages=RUNTIME,
    )


def test_a_fetch_signed_record_is_known_by_its_house_alone(tmp_path: Path) -> None:
    """This house knows its signature; a changed number, a missing signature and another house's are refused."""
    ours, theirs = house(tmp_path / "ours"), house(tmp_path / "theirs")
    made = json.loads(json.dumps(sign(ours, document())))
    check_signature(ours, made)
    with pytest.raises(StillhouseError, match="was altered after it was signed"):
        check_signature(ours, made | {"file": {**made["file"], "bytes": 1}})
    with pytest.raises(StillhouseError, match="was not signed by this deployment"):
        check_signature(theirs, made)
    with pytest.raises(StillhouseError, match="was not signed by this deployment"):
        check_signature(ours, document())


def test_the_key_is_its_owners_alone_and_is_made_once(tmp_path: Path) -> None:
    """The private key can be read by its owner only, and a second signature is by the same key."""
    settings = house(tmp_path)
    first, second = (sign(settings, document())["signature"] for _ in range(2))
    assert first == second
    key = settings.state / "keys" / "signing.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (settings.state / "keys" / "signing.pub").read_text(encoding="ascii").strip() == first["public_key"]
    assert [path.name for path in key.parent.iterdir() if path.name.startswith(".")] == []


def test_a_record_has_all_that_a_version_comes_from() -> None:
    """Digests of file and data, the commit, the whole recipe, seeds, machine, metrics with intervals, lineage, SBOM."""
    made = document()
    assert set(made) == {
        "schema", "model", "file", "data", "code", "recipe", "seeds", "hardware", "environment", "metrics", "gate",
        "final_test", "lineage", "providers", "sbom",
    }  # fmt: skip
    assert made["seeds"] == {"night": 7, "judged_over": None}
    read = json.loads(json.dumps(made))
    assert read["metrics"]["student"]["quality"] == {"gate": {"value": 0.929, "interval": [0.9222, 0.9352]}}
    assert read["final_test"]["opened"]["student"]["interval"] == [0.9198, 0.93]
    assert read["final_test"]["opened"]["opening"] == 2


def test_the_bill_of_materials_names_versions_and_licences() -> None:
    """Every package that answering needs is there with its version, a licence and a package URL."""
    components = sbom(RUNTIME)["components"]
    assert [component["name"] for component in components] == ["onnxruntime", "numpy"]
    for component in components:
        version = importlib.metadata.version(component["name"])
        assert component["purl"] == f"pkg:pypi/{component['name']}@{version}"
        assert component["licenses"][0]["license"]["name"] != "unknown"


def test_the_card_is_for_people() -> None:
    """A card has the description, the chain, the numbers, the worst slices and the origin."""
    text = model_card(document(), EVALUATION, FINAL)
    assert text.startswith("# tiny\n\n")
    assert "Compressed from its teacher by distil -> prune_structured -> quantize." in text
    assert "| bytes | 4,651,208 | 65,244 |" in text
    assert "| quality, test split | 93.12 % (92.62 % to 93.60 %) | 92.51 % (91.98 % to 93.00 %) | 99.34 % |" in text
    assert "It does worst on Shirt" in text
    assert "Data `v3`, code `0123abc`, seed 7" in text
