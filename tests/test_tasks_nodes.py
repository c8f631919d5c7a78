"""One model trained on several hosts: each host is a process tree with a state folder of its own, on one MLflow."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import mlflow_server
from tiny_house import House, tiny_house

from stillhouse.models.training.checkpoint import load_model
from stillhouse.tasks.distributed import rank, rendezvous
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.tags import PREFIX, RENDEZVOUS

SECONDS = 300.0
BOUND_SECONDS = 60.0
"""A stage notices the end of a host within this."""
EPOCHS = 40
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
