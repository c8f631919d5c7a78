"""Run a function of a job in several processes, by torchrun. The first process has the job's folders.

The others have folders of their own that are thrown away. They only train: see `models.training.ranks`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from stillhouse.models.errors import DivergedError
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.distributed import rank
from stillhouse.tasks.distributed.dependent import end_with
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.pipeline.job import Job

INSIDE = "TORCHELASTIC_RUN_ID"
"""Variable that torchrun sets in the processes that it starts."""


def starts_processes(processes: int) -> bool:
    """Tell whether a training needs further processes, and this is none of them."""
    return processes > 1 and INSIDE not in os.environ


def run_in_processes(function: str, job: Job, processes: int) -> Any:  # noqa: ANN401 - what the function returns
    """Run `module:function` with a job in several processes. Returns the answer of the first one.

    Raises:
        DivergedError: the training diverged.
        StillhouseError: the function refused.
        ServiceError: a process ended, for example because memory was short. A retry goes on from the checkpoint.
    """
    asked, answered, errors = (job.scratch / name for name in ("ranks.json", "answer.json", "errors.txt"))
    answered.unlink(missing_ok=True)
    write_json(asked, {"function": function, "job": as_json(job)})
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    job.progress(f"training in {processes} processes")
    with (
        errors.open("w", encoding="utf-8") as said,
        subprocess.Popen(  # noqa: S603 - ours
            [*torchrun, "-m", rank.__name__, str(asked), str(answered)],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | _environment(processes),
            preexec_fn=partial(end_with, os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - prctl only
        ) as running,
    ):
        for line in running.stdout or ():
            _tell(job, line)
    if not answered.is_file():
        said_last = (errors.read_text(encoding="utf-8").strip().splitlines() or [f"exit code {running.returncode}"])[-1]
        msg = f"one of {processes} training processes ended ({said_last}); look at {errors}, or set processes to 1"
        raise ServiceError(msg)
    return _answer(json.loads(answered.read_text(encoding="utf-8")))


def _environment(processes: int) -> dict[str, str]:
    """Share the cores among the processes, which talk over this host only."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    return {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo", "PYTHONSAFEPATH": "1"}


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


def _tell(job: Job, line: str) -> None:
    """Pass on a line of the first process. Other lines are torch's own."""
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
