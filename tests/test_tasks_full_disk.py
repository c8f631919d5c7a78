"""A disk that is full: the stage ends with a sentence, and Airflow tries it again, because a disk can be freed."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_house import House, tiny_house

from stillhouse.models.errors import ModelError
from stillhouse.tasks.errors import DataError, ServiceError, StillhouseError
from stillhouse.tasks.pipeline import run_stage as stage_module
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.pipeline.run_stage import run_stage

FULL = Path("/dev/full")
"""Each write to this device of Linux fails as on a full disk."""


def write(_: Job) -> Metrics:
    """Write to a full disk."""
    FULL.write_text("weights", encoding="utf-8")
    return {}


def write_data(job: Job) -> Metrics:
    """The same, under the sentence of a stage."""
    try:
        return write(job)
    except OSError as error:
        msg = f"{FULL} cannot be written ({error.strerror}); free the disk or mend its permissions"
        raise DataError(msg) from error


def write_weights(_: Job) -> Metrics:
    """The error of a library that keeps only the words of the error number."""
    msg = "I/O error: No space left on device (os error 28)"
    raise RuntimeError(msg)


def write_model(_: Job) -> Metrics:
    """The same below an error of the models."""
    try:
        FULL.write_text("model", encoding="utf-8")
    except OSError as error:
        msg = "model.onnx is not whole; export it again"
        raise ModelError(msg) from error
    return {}


def refuse(_: Job) -> Metrics:
    """A disk on which this user may not write, which no retry changes."""
    raise PermissionError(13, "Permission denied", "/some/where")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of the tests of this file."""
    with tiny_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def error_of(house: House, monkeypatch: pytest.MonkeyPatch, work: Callable[[Job], Metrics]) -> StillhouseError:
    """Let a stage do some work, and return the error with which it ends."""
    monkeypatch.setattr(stage_module, "function_of", lambda _: work)
    with pytest.raises(StillhouseError) as caught:
        run_stage(house.recipe, "pull", f"full/{work.__name__}")
    return caught.value


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (write, "stage pull could not read or write .*No space left on device.*; free the disk"),
        (write_data, "/dev/full cannot be written .*No space left on device.*; free the disk"),
        (write_weights, "stage pull: I/O error: No space left on device .*; the disk is full: free the disk"),
        (write_model, "stage pull: model.onnx is not whole; export it again; the disk is full: free the disk"),
    ],
)
def test_a_full_disk_is_worth_a_retry(
    house: House, monkeypatch: pytest.MonkeyPatch, work: Callable[[Job], Metrics], sentence: str
) -> None:
    """The error is one that the DAG tries again, and its sentence says what to do."""
    error = error_of(house, monkeypatch, work)
    assert isinstance(error, ServiceError)
    assert re.search(sentence, str(error))


def test_a_disk_without_permission_is_not(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry cannot help, so the error is not one that the DAG tries again."""
    error = error_of(house, monkeypatch, refuse)
    assert not isinstance(error, ServiceError)


def test_the_stage_works_once_the_disk_is_freed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try of the same night does the work."""
    error_of(house, monkeypatch, write)
    monkeypatch.undo()
    assert run_stage(house.recipe, "pull", "full/write")["rows_train"] > 0
