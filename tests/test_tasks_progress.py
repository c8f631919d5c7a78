"""What a stage says: every line is kept, in order, over all tries, with few calls to MLflow."""

import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.tracking import progress
from stillhouse.tasks.tracking.progress import FILE, TAG
from stillhouse.tasks.tracking.runs import Nightly, open_nightly

LINES = [f"layer {number}: 4 bits; alone, 8 bits cost 0.00 %" for number in range(300)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """Make an MLflow database of this file's own."""
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture
def night(database: MlflowClient, tmp_path: Path) -> Nightly:
    """Open a night in an experiment of the test's own."""
    database.create_experiment(tmp_path.name, artifact_location=str(tmp_path / "artifacts"))
    return open_nightly(database, tmp_path.name, "test/night")


def fail_after(night: Nightly, lines: list[str]) -> None:
    """Try a stage that says these lines and breaks."""
    with night.child("teacher", "teacher") as child:
        for line in lines:
            child.progress(line)
        raise StillhouseError


def kept(night: Nightly, tmp_path: Path) -> list[str]:
    """Read the lines of the only stage, without their times."""
    (run,) = night.children()
    path = Path(night.client.download_artifacts(run.info.run_id, FILE, str(tmp_path)))
    return [line.split("  ", 1)[1] for line in path.read_text(encoding="utf-8").splitlines()]


def test_no_line_within_a_second_is_lost(night: Nightly, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A burst of 300 lines is in the log and in progress.txt, in order, and the tag shows the last."""
    with night.child("step_1_quantize", "compress") as child:
        for line in LINES:
            child.progress(line)
    assert kept(night, tmp_path) == LINES
    assert capsys.readouterr().out.splitlines() == LINES
    assert night.children()[0].data.tags[TAG] == LINES[-1]


def test_the_lines_of_a_stage_that_broke_are_kept(night: Nightly, tmp_path: Path) -> None:
    """A stage that fails right after a line has that line in progress.txt."""
    with pytest.raises(ZeroDivisionError):
        broken(night)
    assert kept(night, tmp_path) == LINES[:3]


def broken(night: Nightly) -> None:
    with night.child("teacher", "teacher") as child:
        for line in LINES[:3]:
            child.progress(line)
        raise ZeroDivisionError


def test_the_lines_of_an_earlier_try_come_first(night: Nightly, tmp_path: Path) -> None:
    """A second try goes on in the same text."""
    for lines in (LINES[:2], LINES[2:5], LINES[5:6]):
        with pytest.raises(StillhouseError):
            fail_after(night, lines)
    assert kept(night, tmp_path) == LINES[:6]


def test_a_killed_stage_leaves_its_lines(night: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are uploaded while the stage works, so that a kill loses only the newest."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_UPLOADS", -1.0)
    opened = night.child("teacher", "teacher")
    child = opened.__enter__()
    child.progress(LINES[0])
    child.progress(LINES[1])
    assert kept(night, tmp_path) == LINES[:2]


def test_many_lines_are_few_calls(night: Nightly) -> None:
    """300 lines within a second cost at most two tags and one upload."""
    client = Mock(wraps=night.client)
    with Nightly(client, night.experiment_id, night.run_id).child("teacher", "teacher") as child:
        for line in LINES:
            child.progress(line)
    assert client.log_text.call_count == 1
    assert sum(call.args[1] == TAG for call in client.set_tag.call_args_list) <= 2


def test_a_text_that_cannot_be_uploaded_breaks_nothing(night: Nightly, capsys: pytest.CaptureFixture[str]) -> None:
    """The stage finishes, and its log says why progress.txt is missing."""
    client = Mock(wraps=night.client)
    client.log_text.side_effect = MlflowException("the disk is full")
    with Nightly(client, night.experiment_id, night.run_id).child("teacher", "teacher") as child:
        child.progress("epoch 1")
    assert capsys.readouterr().out.splitlines() == ["epoch 1", "progress.txt was not uploaded (the disk is full)"]
    assert night.children()[0].info.status == "FINISHED"


def test_a_stage_that_says_nothing_has_no_text(night: Nightly) -> None:
    """Without a line there is neither a tag nor a text."""
    with night.child("pull", "pull"):
        pass
    (run,) = night.children()
    assert TAG not in run.data.tags
    assert night.client.list_artifacts(run.info.run_id) == []


def test_the_metric_of_the_result_is_shown_and_not_that_of_the_last_epoch(night: Nightly) -> None:
    """A teacher may settle something after its last epoch, and is better then."""
    with night.child("teacher", "teacher") as child:
        for epoch in (1, 2):
            child.record(epoch, {"validation_quality": 0.8})
        time.sleep(0.01)
        child.conclude({"validation_quality": 0.9})
        child.flush()
    assert night.client.get_run(child.run_id).data.metrics["validation_quality"] == pytest.approx(0.9)
