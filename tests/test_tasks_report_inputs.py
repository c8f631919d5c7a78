"""What the report reads: a file that cannot be had is told, and the rest is read all the same."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from stillhouse.tasks.errors import ArtifactError, DataError, ServiceError
from stillhouse.tasks.reporting import report_inputs
from stillhouse.tasks.reporting.report_inputs import ReportInputs
from stillhouse.tasks.tracking.tags import PREFIX

DONE: Any = SimpleNamespace(data=SimpleNamespace(tags={f"{PREFIX}digest": "d"}))
BEGUN: Any = SimpleNamespace(data=SimpleNamespace(tags={}))


def inputs(monkeypatch: pytest.MonkeyPatch, found: Path | Exception) -> ReportInputs:
    """Read from a folder, or fail as getting it does."""

    def output_of(_context: object, _stage: str) -> Any:
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(path=found)

    monkeypatch.setattr(report_inputs, "output_of", output_of)
    return ReportInputs(SimpleNamespace(), {"gate": DONE, "load_test": BEGUN})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fault",
    [
        ArtifactError("MLflow run r has no whole output"),
        ServiceError("MLflow does not answer"),
        DataError("data/digits is truncated"),
        MlflowException("503"),
        ConnectionError("refused"),
        OSError(28, "No space left on device"),
    ],
)
def test_an_output_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """Whatever went wrong, there is a line with the file, its stage and the reason, once."""
    read = inputs(monkeypatch, fault)
    assert read.json("gate", "gate.json") is read.json("gate", "gate.json") is None
    (line,) = read.unread
    assert line.startswith("gate.json of stage gate could not be read: ")
    assert str(fault) in line


@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_a_file_that_is_no_json_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    """A damaged file is a line, too."""
    (tmp_path / "gate.json").write_bytes(content.encode("latin-1"))
    read = inputs(monkeypatch, tmp_path)
    assert read.json("gate", "gate.json") is None
    assert len(read.unread) == 1


def test_a_stage_that_did_not_finish_is_not_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stage that never began, and one that has no output, have nothing to read, and what is there is read."""
    (tmp_path / "gate.json").write_text(json.dumps({"verdict": "PASS"}), encoding="utf-8")
    read = inputs(monkeypatch, tmp_path)
    assert read.json("load_test", "load_test.json") is read.json("compare_champion", "champion_comparison.json") is None
    assert read.json("gate", "gate.json") == {"verdict": "PASS"}
    assert read.unread == []
