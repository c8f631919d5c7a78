"""One model trained by several processes: the same model, one writer, no orphan, and a sentence for every end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_samples import make_house, make_job
from pydantic import TypeAdapter, ValidationError

from stillhouse.models.errors import DivergedError
from stillhouse.models.training.checkpoint import load_model
from stillhouse.tasks.artifacts.artifact import seal, verify
from stillhouse.tasks.distributed.launch import as_json
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.recipe.steps import KeepStepIf, Step
from stillhouse.tasks.recipe.teacher import Teacher
from stillhouse.tasks.stages.compress import compress
from stillhouse.tasks.stages.pull import pull_data
from stillhouse.tasks.stages.teacher import train_teacher

DIGITS = Data(dataset="digits")
TRAINING = {"epochs": 4, "batch_size": 64, "learning_rate": 0.05}
BIG = {"name": "multimodal_big_model", "arguments": {"channels": 4, "hidden": 16}}
"""A network without norms: its processes see what one process sees."""
NORMED = {"name": "plain", "arguments": {"widths": [32, 32, 32], "strides": [2, 1, 1], "pool": 4}}
SECONDS = 120.0
ALONE = """
import json, sys
from stillhouse.tasks.distributed.rank import job_of
from stillhouse.tasks.stages.teacher import train_teacher
train_teacher(job_of(json.load(open(sys.argv[1]))))
"""
"""A process that trains the teacher of a job."""


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pull the digits once."""
    root = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as patch:
        make_house(root / "house", patch)
        job = make_job(root / "pull", DIGITS)
        seal(job.out, pull_data(job))
        yield job.out


def teacher_job(
    pulled: Path,
    folder: Path,
    network: Mapping[str, Any] = BIG,
    show: Callable[[str], None] = lambda _: None,
    **how: Any,
) -> Job:
    """Describe the training of a teacher."""
    teacher = Teacher.model_validate({"network": network, "training": TRAINING | how})
    settings = {"seed": 3, "workload": "image_classification", "teacher": teacher}
    return replace(make_job(folder, DIGITS, show=show), settings=settings, inputs={"data": pulled})


def furthest(one: Path, other: Path) -> float:
    """Return the largest difference of two models' weights."""
    pairs = zip(load_model(one)[0].parameters(), load_model(other)[0].parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("muon_adamw", marks=pytest.mark.long)])
def test_two_processes_train_the_model_of_one(pulled: Path, tmp_path: Path, optimizer: str) -> None:
    """The weights differ by rounding only, and the epochs are told once."""
    told, epochs = list[str](), list[int]()
    alone = teacher_job(pulled, tmp_path / "alone", optimizer=optimizer, learning_rate=0.01)
    both = teacher_job(
        pulled, tmp_path / "both", show=told.append, processes=2, optimizer=optimizer, learning_rate=0.01
    )
    both = replace(both, record=lambda epoch, _metrics: epochs.append(epoch))
    one, two = train_teacher(alone), train_teacher(both)
    assert furthest(alone.out / "model", both.out / "model") < 1e-4
    assert two["validation_quality"] == pytest.approx(one["validation_quality"], abs=0.01)
    assert epochs == [1, 2, 3, 4]
    assert sum(line.startswith("epoch 4/4, loss") for line in told) == 1


@pytest.mark.long
def test_a_student_learns_in_two_processes(pulled: Path, tmp_path: Path) -> None:
    """The stage writes one whole output, whose student is as good as that of one process."""
    teacher = teacher_job(pulled, tmp_path / "teacher", NORMED, epochs=8, optimizer="adamw", learning_rate=0.02)
    seal(teacher.out, train_teacher(teacher))
    found = dict[int, float]()
    for processes in (1, 2):
        training = TRAINING | {"epochs": 8, "optimizer": "adamw", "learning_rate": 0.02, "processes": processes}
        small = NORMED | {"arguments": {"widths": [16, 16, 16], "strides": [2, 1, 1], "pool": 4}}
        step: Any = TypeAdapter(Step).validate_python(
            {"method": "distil", "network": small, "distillation": {"training": training}}
        )
        settings = {"seed": 3, "workload": "image_classification", "step": step, "keep_step_if": KeepStepIf()}
        inputs = {"data": pulled, "teacher": teacher.out, "previous": teacher.out}
        job = replace(make_job(tmp_path / f"{processes}", DIGITS), settings=settings, inputs=inputs)
        metrics = compress(job)
        assert metrics["kept"] == 1.0
        seal(job.out, metrics)
        found[processes] = verify(job.out).metrics["validation_quality"]
    assert found[2] == pytest.approx(found[1], abs=0.03)


@pytest.mark.long
def test_a_kill_leaves_no_orphan_and_one_process_goes_on(pulled: Path, tmp_path: Path) -> None:
    """All processes end with the first; from their checkpoint one process trains the undisturbed model."""
    alone = teacher_job(pulled, tmp_path / "alone", epochs=20)
    train_teacher(alone)
    job = teacher_job(pulled, tmp_path / "killed", processes=2, epochs=20)
    asked, checkpoint = tmp_path / "job.json", job.scratch / "training.safetensors"
    asked.write_text(json.dumps(as_json(job)))
    running = subprocess.Popen([sys.executable, "-c", ALONE, str(asked)], env=os.environ | {"PYTHONSAFEPATH": "1"})
    wait_for(checkpoint.is_file)
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_for(lambda: not processes_with(str(job.scratch)))
    rest = teacher_job(pulled, tmp_path / "rest", epochs=20)
    checkpoint.rename(rest.scratch / checkpoint.name)
    epochs = list[int]()
    train_teacher(replace(rest, record=lambda epoch, _metrics: epochs.append(epoch)))
    assert epochs[0] > 1
    assert furthest(alone.out / "model", rest.out / "model") < 1e-4


@pytest.mark.long
def test_a_process_that_is_killed_ends_the_training_with_a_sentence(pulled: Path, tmp_path: Path) -> None:
    """The sentence names the file with what the processes said, and a remedy. Airflow tries such an end again."""
    killed = list[int]()

    def kill_the_second(line: str) -> None:
        if line.startswith("epoch") and not killed:
            killed.append(max(processes_with("tasks.distributed.rank")))
            os.kill(killed[0], signal.SIGKILL)

    job = teacher_job(pulled, tmp_path / "job", show=kill_the_second, processes=2, epochs=50)
    with pytest.raises(ServiceError, match=r"one of 2 training processes ended \(.+\); look at .+errors.txt"):
        train_teacher(job)
    assert not list(job.out.iterdir())


def test_a_diverged_training_is_one_in_several_processes_too(pulled: Path, tmp_path: Path) -> None:
    """All processes stop at the same step, and the caller learns why."""
    with pytest.raises(DivergedError, match="lower the learning rate"):
        train_teacher(teacher_job(pulled, tmp_path / "job", processes=2, learning_rate=1e30, optimizer="sgd"))


@pytest.mark.long
def test_a_refusal_of_a_process_is_that_of_the_training(pulled: Path, tmp_path: Path) -> None:
    """A fault of the data ends with the sentence that one process alone would say."""
    job = teacher_job(pulled, tmp_path / "job", processes=2)
    settings = dict(job.settings) | {"workload": "retrieval"}
    with pytest.raises(StillhouseError, match="digits"):
        train_teacher(replace(job, settings=settings))


@pytest.mark.parametrize("method", ["prune_unstructured", "drop_layers", "quantize"])
def test_other_steps_train_in_one_process(method: str) -> None:
    """Several processes for the training after a change of the model are refused with the remedy."""
    lesson = {"training": TRAINING | {"processes": 2}}
    step = {"prune_unstructured": {"sparsity": 0.5}, "drop_layers": {"layers": 1}, "quantize": {"weights": "int4"}}
    where = "distillation" if method == "quantize" else "finetune"
    with pytest.raises(ValidationError, match="set processes to 1 here"):
        TypeAdapter(Step).validate_python({"method": method, where: lesson} | step[method])


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_with(text: str) -> list[int]:
    """List the process ids whose command contains a text, except this one."""
    found = list[int]()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in command.read_bytes() and int(command.parent.name) != os.getpid():
                found.append(int(command.parent.name))
        except OSError:
            continue
    return found
