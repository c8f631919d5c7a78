"""One model trained on several hosts: each host is a process tree with a state folder of its own, on one MLflow."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import mlflow_server
from pydantic import TypeAdapter, ValidationError
from tiny_house import House, tiny_house

from stillhouse.models.training.checkpoint import load_model
from stillhouse.tasks.distributed import rank, rendezvous
from stillhouse.tasks.distributed.network import LOOPBACK, address_towards, interface_of, receive, send
from stillhouse.tasks.distributed.node import help_train
from stillhouse.tasks.distributed.rendezvous import Rendezvous
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.pipeline.job import Meeting
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.steps import Step
from stillhouse.tasks.recipe.teacher import Training
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.tags import PREFIX, RENDEZVOUS

SECONDS = 300.0
BOUND_SECONDS = 60.0
"""A stage notices the end of a host within this."""
EPOCHS = 16
DISTIL = "step_1_distil"
RENDEZVOUS_TAG = PREFIX + RENDEZVOUS
HOST = """
import sys, time
from pathlib import Path
from stillhouse.tasks.distributed.node import help_train
recipe, stage, run_key = sys.argv[1:]
while not help_train(Path(recipe), stage, 1, run_key):
    time.sleep(1)
"""
"""A further host: it looks for the stage's training until it has trained once."""
STAGE = """
import sys
from pathlib import Path
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.run_stage import run_stage
recipe, stage, run_key = sys.argv[1:]
try:
    run_stage(Path(recipe), stage, run_key)
except StillhouseError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
"""The first host."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Give a house whose MLflow is a server. Its stages do not wait long for hosts."""
    monkeypatch.setattr(rendezvous, "PATIENCE_SECONDS", 60.0)
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as address, tiny_house(tmp_path / "house", address) as house:
        yield house


def change_training(house: House, **how: Any) -> None:
    """Change the training of the teacher and of the student."""
    content = yaml.safe_load(house.recipe.read_text(encoding="utf-8"))
    content["teacher"]["training"] |= how
    content["steps"][0]["distillation"]["training"] |= how
    house.recipe.write_text(yaml.safe_dump(content), encoding="utf-8")


@contextmanager
def host(house: House, code: str, stage: str, key: str, state: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run one host in a process tree of its own."""
    remote = {"STILLHOUSE_DVC_URL": str(house.settings.state / "remote")} if state else {}
    own = {"STILLHOUSE_STATE": str(state)} | remote if state else {}
    command = [sys.executable, "-c", code, str(house.recipe), stage, key]
    environment = os.environ | own | {"PYTHONSAFEPATH": "1"}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()


def furthest(one: Path, other: Path) -> float:
    """Return the largest difference of two models' weights."""
    pairs = zip(load_model(one)[0].parameters(), load_model(other)[0].parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.long
def test_two_hosts_train_the_model_of_one(house: House, tmp_path: Path) -> None:
    """Teacher and student have the weights of one process, but for rounding, and the second host has its own data."""
    change_training(house, epochs=4)
    house.run("test/one", until=DISTIL)
    change_training(house, nodes=2)
    house.run("test/two", until="validate")
    for stage in ("teacher", DISTIL):
        with host(house, HOST, stage, "test/two", tmp_path / "second") as second:
            run_stage(house.recipe, stage, "test/two")
            assert second.wait(SECONDS) == 0
        one, two = (house.output(key, stage) / "model" for key in ("test/one", "test/two"))
        assert one.parent != two.parent
        assert furthest(one, two) < 1e-4


@pytest.mark.long
def test_a_killed_host_ends_the_attempt_and_the_next_one_goes_on(house: House, tmp_path: Path) -> None:
    """The stage fails with a sentence within a minute, no process is left, and the retry resumes from the checkpoint.

    The killed host has no checkpoint of its own: it gets that of the first host.
    """
    change_training(house, epochs=EPOCHS, nodes=2)
    house.run("test/killed", until="validate")
    scratch, second_state = house.settings.state / "scratch", tmp_path / "second"
    with (
        host(house, HOST, "teacher", "test/killed", second_state) as second,
        host(house, STAGE, "teacher", "test/killed") as first,
    ):
        wait_for(lambda: list(scratch.glob("*/training.safetensors")), first)
        killed = time.monotonic()
        second.send_signal(signal.SIGKILL)
        said = first.communicate(timeout=BOUND_SECONDS)[0]
        assert time.monotonic() - killed < BOUND_SECONDS
    assert re.search(r"ServiceError: the training on 2 hosts ended \(.*; .*\); look at .*, or set nodes to 1", said)
    wait_for(lambda: not processes_with(str(scratch), str(second_state)))
    before = house.stages("test/killed")["teacher"].data.tags[RENDEZVOUS_TAG]
    with host(house, HOST, "teacher", "test/killed", second_state) as second:
        run_stage(house.recipe, "teacher", "test/killed")
        assert second.wait(SECONDS) == 0
    teacher = house.stages("test/killed")["teacher"]
    assert teacher.info.status == "FINISHED"
    assert teacher.data.tags[RENDEZVOUS_TAG] != before
    history = connect(house.settings.tracking_uri).get_metric_history(teacher.info.run_id, "train_loss")
    assert [each.step for each in history] == list(range(1, EPOCHS + 1))
    wait_for(lambda: not processes_with(str(scratch), str(second_state)))


@pytest.mark.long
def test_a_killed_stage_leaves_no_process_and_its_host_joins_the_retry(house: House, tmp_path: Path) -> None:
    """The further host ends its processes at once, looks again, and trains in the next attempt."""
    change_training(house, epochs=EPOCHS, nodes=2)
    house.run("test/killed", until="validate")
    scratch, second_state = house.settings.state / "scratch", tmp_path / "second"
    with host(house, HOST, "teacher", "test/killed", second_state) as second:
        with host(house, STAGE, "teacher", "test/killed") as first:
            wait_for(lambda: list(scratch.glob("*/training.safetensors")), first)
            killed = time.monotonic()
            first.send_signal(signal.SIGKILL)
            wait_for(lambda: not processes_with(str(scratch), str(second_state)))
            assert time.monotonic() - killed < BOUND_SECONDS
        run_stage(house.recipe, "teacher", "test/killed")
        assert second.wait(SECONDS) == 0
    assert house.stages("test/killed")["teacher"].info.status == "FINISHED"


def wait_for(condition: Callable[[], object], running: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert running is None or running.poll() is None, running.communicate()[0]
        time.sleep(0.05)


def processes_with(*texts: str) -> list[str]:
    """List the commands of training processes that contain one of the texts."""
    found = list[str]()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            said = command.read_text(encoding="utf-8", errors="replace").replace("\0", " ")
            found += [said] if "torch.distributed.run" in said or rank.__name__ in said else []
    return [said for said in found if any(text in said for text in texts)]


@pytest.mark.parametrize("method", ["prune_unstructured", "drop_layers", "quantize"])
def test_other_steps_train_on_one_host(method: str) -> None:
    """Several hosts for the training after a change of the model are refused with the remedy."""
    training = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05, "nodes": 2}
    step = {"prune_unstructured": {"sparsity": 0.5}, "drop_layers": {"layers": 1}, "quantize": {"weights": "int4"}}
    where = "distillation" if method == "quantize" else "finetune"
    with pytest.raises(ValidationError, match="set nodes to 1 here"):
        TypeAdapter(Step).validate_python({"method": method, where: {"training": training}} | step[method])


@pytest.mark.parametrize("nodes", [0, 17])
def test_the_number_of_hosts_has_bounds(nodes: int) -> None:
    """A training takes from one to sixteen hosts."""
    with pytest.raises(ValidationError, match="nodes"):
        Training.model_validate({"epochs": 1, "batch_size": 64, "learning_rate": 0.05, "nodes": nodes})


def test_this_host_is_reached_over_its_own_network() -> None:
    """A server on this host is reached over the loopback interface, and an MLflow of files has no other hosts."""
    assert address_towards("http://127.0.0.1:5000") == address_towards("sqlite:////x/mlflow.db") == LOOPBACK
    assert interface_of(LOOPBACK) == "lo"


def test_a_host_that_does_not_come_ends_the_wait_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how many hosts came, and the remedy."""
    monkeypatch.setattr(rendezvous, "PATIENCE_SECONDS", 0.5)
    place = dict[str, Any]()
    with Rendezvous(Meeting("", lambda told: place.update(json.loads(told))), 3) as meeting, arrive(place, node=1):
        pattern = "2 of 3 hosts came .*; give the queue train a worker .* the pool train 3 slots"
        with pytest.raises(ServiceError, match=pattern):
            meeting.gather(lambda _: None)


def test_only_a_host_with_the_token_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection with another token, another number or no words is closed, and the wait goes on."""
    monkeypatch.setattr(rendezvous, "GREETING_SECONDS", 0.2)
    place, told = dict[str, Any](), list[str]()
    with (
        Rendezvous(Meeting("", lambda said: place.update(json.loads(said))), 2) as meeting,
        arrive(place | {"token": "guessed"}, node=1),
        arrive(place, node=2),
        socket.create_connection((place["address"], place["port"])),
        arrive(place, node=1) as right,
    ):
        send(right, ready=1)
        assert meeting.gather(told.append) == ["second"]
        port = meeting.begin()
        assert receive(right) == {"port": port, "nodes": 2}
    assert [line for line in told if "came" in line] == ["host second came, 2 of 2"]


@contextmanager
def arrive(place: Mapping[str, Any], node: int) -> Iterator[socket.socket]:
    """Connect to the first host as a further one."""
    with socket.create_connection((place["address"], place["port"])) as connection:
        send(connection, token=place["token"], node=node, name="second")
        yield connection


def test_nothing_to_join_is_told_at_once(tmp_path: Path) -> None:
    """A host that finds a stage whose work was reused trains nothing, and leaves the stage's run as it is."""
    with tiny_house(tmp_path / "house") as house:
        change_training(house, epochs=1)
        house.run("test/first", until="teacher")
        change_training(house, nodes=2)
        assert not help_train(house.recipe, "teacher", 1, "test/first")
        assert house.stages("test/first")["teacher"].info.status == "FINISHED"


@pytest.mark.long
def test_without_a_server_all_processes_are_on_this_host(tmp_path: Path) -> None:
    """A local run of a recipe for two hosts starts two processes here."""
    with tiny_house(tmp_path / "house") as house:
        change_training(house, epochs=1, nodes=2)
        house.run("local/one", until="teacher")
        teacher = house.stages("local/one")["teacher"]
        lines = connect(house.settings.tracking_uri).download_artifacts(teacher.info.run_id, "progress.txt")
        assert "training in 2 processes" in Path(lines).read_text(encoding="utf-8")
