"""A further host of a training: it joins the stage that trains, fetches the stage's inputs, and runs its processes.

The stage decides whether there is anything to train. This host only looks whether the stage waits for it.
"""

import json
import os
import select
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from stillhouse.tasks.artifacts.locks import quiet
from stillhouse.tasks.artifacts.outputs import make_empty, output_among
from stillhouse.tasks.distributed.launch import end, last_words, place_of, torchrun
from stillhouse.tasks.distributed.network import notice_loss, receive, send
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.pipeline.frozen import Asked
from stillhouse.tasks.pipeline.graph import Stage, stages_of
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.pipeline.lineage import CODE, runs_of
from stillhouse.tasks.pipeline.run_context import RunContext, join_run
from stillhouse.tasks.pipeline.stage_key import code_of
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.tracking.runs import find_newest_of_each
from stillhouse.tasks.tracking.tags import PREFIX, RENDEZVOUS, RUNNING, STAGE_KEY

FUNCTIONS = {
    "teacher": "stillhouse.tasks.stages.teacher:train_teacher",
    "compress": "stillhouse.tasks.stages.compress:train_student",
}
"""Kind of a stage -> the function that its processes run."""
LOOK_SECONDS = 20.0
"""Seconds in which a stage that has just begun announces where it waits."""
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Helper:
    """This host, as one of those that train together."""

    context: RunContext
    stage: Stage
    node: int


def help_train(recipe_path: Path, stage_name: str, node: int, run_key: str) -> bool:
    """Train beside a stage if it trains now.

    Args:
        recipe_path: the recipe's file.
        stage_name: name of the stage.
        node: number of this host, from 1.
        run_key: names the nightly run.

    Returns:
        Whether a training came to its end. False: there is none, or the attempt ended; look again later.

    Raises:
        StillhouseError: this host cannot help. One sentence says how to repair that.
    """
    settings = load_settings()
    try:
        context = join_run(settings, Asked(recipe_path), run_key, stage_name)
        stage = next((each for each in stages_of(context.recipe) if each.name == stage_name), None)
        if stage is None or node >= stage.nodes:
            return False  # the run began with another recipe
        helper = Helper(context, stage, node)
        run = _look(helper)
        return run is not None and _join(helper, run)
    except MlflowException as error:
        reason = " ".join(str(error).split())[:300]
        msg = f"MLflow at {settings.tracking_uri} refused ({reason}); look at its log and run the task again"
        raise ServiceError(msg) from error


def _look(helper: Helper) -> Run | None:
    """Find the run of a stage that waits for hosts or trains."""
    deadline = time.monotonic() + LOOK_SECONDS
    while True:
        run = find_newest_of_each(helper.context.nightly.children()).get(helper.stage.name)
        if run is not None and run.info.status != RUNNING:
            return None
        if run is not None and PREFIX + RENDEZVOUS in run.data.tags:
            return run
        if time.monotonic() > deadline:
            return None
        time.sleep(2)


def _join(helper: Helper, run: Run) -> bool:
    _expect_same_code(helper.stage, run)
    place = json.loads(run.data.tags[PREFIX + RENDEZVOUS])
    try:
        connection = socket.create_connection((place["address"], place["port"]), CONNECT_SECONDS)
    except OSError as error:
        print(f"{place['address']}:{place['port']} does not answer ({error.strerror or error})", flush=True)  # noqa: T201 - a line of the log
        return False
    with connection:
        connection.settimeout(None)
        notice_loss(connection)
        send(connection, token=place["token"], node=helper.node, name=socket.gethostname())
        scratch = make_empty(
            helper.context.settings.state / "scratch" / run.data.tags[STAGE_KEY] / f"node_{helper.node}"
        )
        try:
            return _train(helper, connection, place["address"], scratch)
        except StillhouseError as error:
            send(connection, failed=str(error)[:1000])
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _expect_same_code(stage: Stage, run: Run) -> None:
    """Refuse a host with other code or libraries: its gradients would be of another training.

    Raises:
        StillhouseError: the code differs.
    """
    if run.data.tags.get(PREFIX + CODE) != code_of(stage.kind, stage.workload, stage.providers):
        msg = (
            f"{socket.gethostname()} has other code or libraries than the host that runs stage {stage.name}; "
            "install the same commit and lock on all workers of the queue train"
        )
        raise StillhouseError(msg)


def _train(helper: Helper, connection: socket.socket, first: str, scratch: Path) -> bool:
    job = _job(helper, scratch)
    with quiet(helper.context.settings.state / "host", alone=False, wait=lambda: None):
        send(connection, ready=1)
        told = receive(connection)
        if told is None:
            return False
        place = place_of(told["nodes"], helper.node, first, told["port"], connection.getsockname()[0])
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as in the stage's own process
        with torchrun(FUNCTIONS[helper.stage.kind], job, _processes(helper.stage), place) as running:
            return _accompany(job, running, connection)


def _processes(stage: Stage) -> int:
    section = stage.settings["teacher"] if stage.kind == "teacher" else stage.settings["step"].distillation
    return int(section.training.processes)


def _job(helper: Helper, scratch: Path) -> Job:
    """Describe the stage's work on this host. Its inputs are fetched."""
    context, stage = helper.context, helper.stage
    runs = runs_of(context.recipe, context.nightly.children())
    inputs = {slot: output_among(context, runs, name).path for slot, name in stage.inputs.items()}
    materialise(inputs["data"])
    return Job(
        settings=stage.settings,
        inputs=inputs,
        out=make_empty(scratch / "out"),
        scratch=scratch,
        shared=context.settings.state / "shared",
        progress=lambda _: None,
        record=lambda *_: None,
    )


def _accompany(job: Job, running: subprocess.Popen[str], connection: socket.socket) -> bool:
    """Wait until the first host says that the training is done. If either side ends earlier, the other learns it."""
    while running.poll() in {None, 0}:
        if select.select([connection], [], [], 0.2)[0]:
            is_done = receive(connection) is not None
            end(running)
            print("trained" if is_done else "the attempt of the first host ended", flush=True)  # noqa: T201 - as above
            return is_done
    send(connection, failed=last_words(job, running)[:1000])
    print(f"the attempt ended: {last_words(job, running)}", flush=True)  # noqa: T201 - as above
    return False
