"""Run a function of a job in several processes of one host or of several, by torchrun.

The first process has the job's folders. The others have folders of their own that are thrown away. They only train: see
`models.training.ranks`. Further hosts run `tasks.distributed.node`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.models.errors import DivergedError
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.distributed import rank
from stillhouse.tasks.distributed.dependent import end_with
from stillhouse.tasks.distributed.network import interface_of
from stillhouse.tasks.distributed.rendezvous import Rendezvous
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.pipeline.job import Job, Meeting
from stillhouse.tasks.recipe.teacher import Training

INSIDE = "TORCHELASTIC_RUN_ID"
"""Variable that torchrun sets in the processes that it starts."""
END_SECONDS = 40.0
"""torchrun gives its processes 30 seconds to end before it kills them."""


@dataclass(frozen=True)
class Place:
    """Where torchrun finds the other hosts, and the network interface of this host that leads there."""

    arguments: tuple[str, ...] = ("--standalone",)
    interface: str = "lo"


def starts_processes(training: Training) -> bool:
    """Tell whether a training needs further processes, and this is none of them."""
    return training.processes * training.nodes > 1 and INSIDE not in os.environ


def run_in_processes(function: str, job: Job, training: Training) -> Any:  # noqa: ANN401 - what the function returns
    """Run `module:function` with a job in several processes. Returns the answer of the first one.

    A job without a meeting has all processes on this host.

    Raises:
        DivergedError: the training diverged.
        StillhouseError: the function refused.
        ServiceError: a process or a host ended, or too few hosts came. A retry goes on from the checkpoint.
    """
    if job.meeting is not None and training.nodes > 1:
        _run_on_hosts(function, job, training, job.meeting)
    else:
        _run_here(function, job, training.processes * training.nodes)
    return _answer(json.loads(_answer_file(job).read_text(encoding="utf-8")))


def _run_here(function: str, job: Job, processes: int) -> None:
    job.progress(f"training in {processes} processes")
    with torchrun(function, job, processes, Place(), subprocess.PIPE) as running:
        _follow(job, running)
    if not _answer_file(job).is_file():
        said = last_words(job, running)
        msg = f"one of {processes} training processes ended ({said}); look at {_errors(job)}, or set processes to 1"
        raise ServiceError(msg)


def _run_on_hosts(function: str, job: Job, training: Training, meeting: Meeting) -> None:
    with Rendezvous(meeting, training.nodes) as rendezvous:
        others = ", ".join(rendezvous.gather(job.progress))
        job.progress(f"training on {training.nodes} hosts, {training.processes} processes each: this one, {others}")
        place = place_of(training.nodes, 0, rendezvous.address, rendezvous.begin(), rendezvous.address)
        started = torchrun(function, job, training.processes, place, subprocess.PIPE)
        with started as running, rendezvous.watch(running):
            _follow(job, running)
        if not _answer_file(job).is_file():
            said = "; ".join([f"this host: {last_words(job, running)}", *rendezvous.said])
            msg = f"the training on {training.nodes} hosts ended ({said}); look at {_errors(job)}, or set nodes to 1"
            raise ServiceError(msg)


def place_of(nodes: int, node: int, address: str, port: int, own_address: str) -> Place:
    """Describe a host among others.

    Args:
        nodes: number of hosts.
        node: number of this one. The first has 0.
        address: address of the first host.
        port: port of torchrun's store on the first host.
        own_address: address of this host on the network that leads to the first.
    """
    where = (f"--master-addr={address}", f"--master-port={port}", f"--rdzv-id={port}")
    arguments = (f"--nnodes={nodes}", f"--node-rank={node}", "--rdzv-backend=static", *where)
    return Place(arguments, interface_of(own_address))


@contextmanager
def torchrun(
    function: str, job: Job, processes: int, place: Place, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Start the processes of this host, and end them if the block raises. Only the first process of all tells lines."""
    asked = job.scratch / "ranks.json"
    _answer_file(job).unlink(missing_ok=True)
    write_json(asked, {"function": function, "job": as_json(job)})
    command = [sys.executable, "-m", "torch.distributed.run", *place.arguments, f"--nproc-per-node={processes}"]
    with (
        _errors(job).open("w", encoding="utf-8") as said,
        subprocess.Popen(  # noqa: S603 - ours
            [*command, "-m", rank.__name__, str(asked), str(_answer_file(job))],
            stdout=stdout,
            stderr=said,
            text=True,
            env=os.environ | _environment(processes, place),
            preexec_fn=partial(end_with, os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - prctl only
        ) as running,
    ):
        try:
            yield running
        except BaseException:
            end(running)
            raise


def end(running: subprocess.Popen[str]) -> None:
    """End torchrun and its processes."""
    running.terminate()
    try:
        running.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()


def last_words(job: Job, running: subprocess.Popen[str]) -> str:
    """Return the last line that torchrun wrote, or its exit code."""
    return (_errors(job).read_text(encoding="utf-8").strip().splitlines() or [f"exit code {running.returncode}"])[-1]


def _answer_file(job: Job) -> Path:
    return job.scratch / "answer.json"


def _errors(job: Job) -> Path:
    return job.scratch / "errors.txt"


def _environment(processes: int, place: Place) -> dict[str, str]:
    """Share the cores among the processes, which talk over one network interface only."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    return {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": place.interface, "PYTHONSAFEPATH": "1"}


def as_json(job: Job) -> dict[str, Any]:
    """Write a job as JSON. `rank.job_of` reads it."""
    settings = {name: _with_kind(value) for name, value in job.settings.items()}
    folders = {name: str(getattr(job, name)) for name in ("out", "scratch", "shared")}
    inputs = {name: str(path) for name, path in job.inputs.items()}
    return {"settings": settings, "inputs": inputs, "outside": dict(job.outside), **folders}


def _with_kind(value: Any) -> Any:  # noqa: ANN401 - a section of the recipe, or a plain value
    if not hasattr(value, "model_dump"):
        return value
    return {"kind": f"{type(value).__module__}:{type(value).__qualname__}", "value": value.model_dump(mode="json")}


def _follow(job: Job, running: subprocess.Popen[str]) -> None:
    """Pass on the lines of the first process. Other lines are torch's own."""
    for line in running.stdout or ():
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and "progress" in told:
                job.progress(told["progress"])
            elif isinstance(told, dict) and "epoch" in told:
                job.record(told["epoch"], told["metrics"])


def _answer(answer: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what the function returned
    if "diverged" in answer:
        raise DivergedError(answer["diverged"])
    if "refused" in answer:
        raise StillhouseError(answer["refused"])
    return answer["found"]
