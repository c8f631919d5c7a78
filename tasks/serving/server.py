"""Run the server of a production model until it is stopped, in one process or in several processes at one port."""

import errno
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import wait

import uvicorn
from starlette.applications import Starlette

from stillhouse.tasks.distributed.dependent import end_with
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.metrics import SHARED_FOLDER
from stillhouse.tasks.settings import load_settings

LAST_PORT = 65535


def run_server(model: str, host: str, port: int, processes: int, show: Callable[[str], None]) -> None:
    """Serve the champion of a recipe's production model.

    Raises:
        StillhouseError: no champion can be served, the port is taken, or a process ended.
    """
    listener = listen(host, port)
    address = f"http://{bracket_host(host)}:{listener.getsockname()[1]}/answer"

    def application() -> Starlette:
        # The load test serves a bundle without a registry, so MLflow's client is imported here.
        from stillhouse.tasks.registry.versions import production_of
        from stillhouse.tasks.serving.follow import Follower
        from stillhouse.tasks.tracking.connection import connect

        follower = Follower(connect(load_settings().tracking_uri), production_of(model))
        follower.start()
        show(f"{follower.current.model} version {follower.current.version} answers at {address}")
        return build(follower)

    if processes == 1:
        answer_at(listener, application)
    else:
        _together(listener, application, processes)


def listen(host: str, port: int) -> socket.socket:
    """Open the port. Requests that arrive before the server runs wait.

    Args:
        host: a name or an address, of IPv4 or IPv6.
        port: a port number; 0 chooses a free port.

    Raises:
        ServiceError: the port or host does not exist, or the port is taken.
    """
    if not 0 <= port <= LAST_PORT:
        msg = f"there is no port {port}; choose a --port from 1 to {LAST_PORT}, or 0 for one that is free"
        raise ServiceError(msg)
    family, address = _address(host, port)
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        option = "--host" if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT} else "--port"
        msg = f"{bracket_host(host)}:{port} cannot be listened at ({error.strerror}); choose another {option}"
        raise ServiceError(msg) from error
    return listener


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Resolve a host. If a name has an IPv4 and an IPv6 address, IPv4 is used, because clients also try it."""
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        msg = f"{host!r} is no host that can be listened at ({error}); choose another --host"
        raise ServiceError(msg) from error
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def bracket_host(host: str) -> str:
    """Write a host for use in a URL: an IPv6 address gets brackets."""
    return f"[{host.strip('[]')}]" if ":" in host else host


def answer_at(listener: socket.socket, application: Callable[[], Starlette]) -> None:
    """Answer requests at an open port until stopped."""
    config = uvicorn.Config(application(), log_level="warning", access_log=False, proxy_headers=False)
    uvicorn.Server(config).run(sockets=[listener])


def _together(listener: socket.socket, application: Callable[[], Starlette], processes: int) -> None:
    """Serve in several processes; the kernel distributes the connections. If one process ends, all end."""
    parent, common = os.getpid(), tempfile.TemporaryDirectory(prefix="stillhouse-metrics-")
    os.environ[SHARED_FOLDER] = common.name

    def one() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with(parent)
        try:
            answer_at(listener, application)
        except StillhouseError as error:
            sys.exit(f"stillhouse: {error}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # this exit also ends the daemons below
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=one, daemon=True) for _ in range(processes)]
    with common:
        for process in started:
            process.start()
        wait([process.sentinel for process in started])
    msg = f"one of the {processes} serving processes ended, and so all did; look at what it said, then serve again"
    raise ServiceError(msg)
