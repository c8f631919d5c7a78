"""Load-test an exported student behind its server: response times and answers per second.

Run it as `python -m stillhouse.tasks.serving.load_generator REQUEST ANSWER`, with two JSON files. In the one-core test,
the server is pinned to the last core of this process and the load comes from the first core. In the all-cores test,
both share all cores.
"""

import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import requests
from starlette.applications import Starlette

from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.client import Body, Load, at_most, at_rate
from stillhouse.tasks.serving.served import Served
from stillhouse.tasks.serving.server import answer_at, listen

RATE = 200.0
"""Requests per second at which response times are measured."""
RATE_SECONDS = 4.0
MOST_SECONDS = 1.0
START_SECONDS = 60.0
WARM_SECONDS = 0.3


@dataclass(frozen=True)
class Exported:
    """A served student that has no version yet."""

    current: Served
    problem: str | None = None


def under_load(student: Bundle, bodies: Sequence[Body]) -> dict[str, Any]:
    """Load-test a student behind its server.

    Returns:
        `rate`; `p50_ms` and `p99_ms` at that rate; `lost`: requests without an answer, in all tests; `max_rate`:
            answers per second on one core and on all cores; `cores`: number of cores.
    """

    def application() -> Starlette:
        answers = runtime_of(student.workload).serve(student, ())
        return build(Exported(Served("student", "0", "", 0, answers)))

    cores = sorted(os.sched_getaffinity(0))
    with serving(application, [{cores[-1]}]) as address, _pin({cores[0]}):
        at_most(address, bodies, WARM_SECONDS)
        steady = at_rate(address, bodies, RATE, RATE_SECONDS)
        _expect_answers(steady)
        one = at_most(address, bodies, MOST_SECONDS)
    with serving(application, [set(cores)] * len(cores)) as address:
        at_most(address, bodies, WARM_SECONDS)
        every = at_most(address, bodies, MOST_SECONDS)
    return {
        "rate": RATE,
        "p50_ms": steady.percentile(50),
        "p99_ms": steady.percentile(99),
        "lost": steady.lost + one.lost + every.lost,
        "max_rate": {"one_core": one.rate, "all_cores": every.rate},
        "cores": len(cores),
    }


def _expect_answers(load: Load) -> None:
    if not load.milliseconds:
        msg = f"the server of the student answered none of {load.lost} requests; look at it and export it again"
        raise ServiceError(msg)


@contextmanager
def serving(application: Callable[[], Starlette], cores: Sequence[set[int]]) -> Iterator[str]:
    """Start one server process for each set of cores; yields the address of the endpoint."""
    listener = listen("127.0.0.1", 0)
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=_serve, args=(listener, application, each), daemon=True) for each in cores]
    for process in started:
        process.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        _await(f"{address}/health", started)
        yield f"{address}/answer"
    finally:
        for process in started:
            process.terminate()
            process.join()
        listener.close()


def _await(page: str, started: Sequence[BaseProcess]) -> None:
    """Wait until a server answers. The port opens earlier and holds requests until then."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(process.is_alive() for process in started):
        with suppress(requests.RequestException):
            requests.get(page, timeout=1).raise_for_status()
            return
    msg = f"the server of the student did not answer within {START_SECONDS:.0f} s, or ended; export it again"
    raise ServiceError(msg)


def _serve(listener: socket.socket, application: Callable[[], Starlette], cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    answer_at(listener, application)


@contextmanager
def _pin(cores: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Read the request file, measure, and write the answer file."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request: Mapping[str, Any] = json.loads(request_path.read_text(encoding="utf-8"))
    bodies = [Body(request["media_type"], Path(path).read_bytes()) for path in request["bodies"]]
    found = under_load(open_bundle(Path(request["student"])), bodies)
    answer_path.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
