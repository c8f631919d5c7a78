"""The first host of a training waits for the further hosts, starts them together, and notices if one ends.

Every attempt has its own address and token. So a host that comes late cannot join the wrong attempt.
"""

import hmac
import json
import secrets
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from stillhouse.tasks.distributed.network import address_towards, notice_loss, receive, send
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.pipeline.job import Meeting

PATIENCE_SECONDS = 600.0
"""The further hosts arrive within this."""
GREETING_SECONDS = 5.0
LAST_WORD_SECONDS = 3.0
"""Seconds in which the other hosts say why a training ended."""


@dataclass
class Host:
    """A further host that has arrived."""

    node: int
    name: str
    connection: socket.socket
    ready: bool = False
    """Whether it has its inputs."""


class Rendezvous:
    """One attempt to train on several hosts, as the first host sees it."""

    def __init__(self, meeting: Meeting, nodes: int) -> None:
        """Listen for the further hosts, and announce where."""
        self.address, self.token = address_towards(meeting.server), secrets.token_hex(16)
        self.said: list[str] = []
        """What further hosts said when they ended."""
        self._nodes, self._hosts = nodes, dict[int, Host]()
        self._listener = socket.create_server((self.address, 0))
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        place = {"address": self.address, "port": self._listener.getsockname()[1], "token": self.token}
        meeting.announce(json.dumps(place))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the connections. After an error the further hosts look for the next attempt."""
        for host in self._hosts.values():
            if error is None:
                send(host.connection, done=1)
            host.connection.close()
        self._listener.close()

    def gather(self, progress: Callable[[str], None]) -> list[str]:
        """Wait until all further hosts are here and have their inputs. Returns their names.

        Raises:
            ServiceError: too few hosts came.
        """
        progress(f"waiting for {self._nodes - 1} further hosts, at {self.address}")
        while len(self._hosts) < self._nodes - 1 or not all(host.ready for host in self._hosts.values()):
            self._expect_in_time()
            connections = {host.connection: host for host in self._hosts.values()}
            for each in select.select([self._listener, *connections], [], [], 1.0)[0]:
                if each is self._listener:
                    self._greet(progress)
                else:
                    self._hear(connections[each], progress)
        return [host.name for _, host in sorted(self._hosts.items())]

    def _expect_in_time(self) -> None:
        came = 1 + len(self._hosts)
        if came < self._nodes and time.monotonic() > self._deadline:
            msg = (
                f"{came} of {self._nodes} hosts came within {PATIENCE_SECONDS / 60:.0f} minutes; give the queue train "
                f"a worker on each host and the pool train {self._nodes} slots, or set nodes to {came}"
            )
            raise ServiceError(msg)

    def _greet(self, progress: Callable[[str], None]) -> None:
        """Take in a host that knows the token. One that comes again replaces itself."""
        connection, _ = self._listener.accept()
        connection.settimeout(GREETING_SECONDS)
        told = receive(connection) or {}
        node, name = told.get("node"), str(told.get("name"))
        knows = hmac.compare_digest(str(told.get("token")).encode(), self.token.encode())
        if not knows or not isinstance(node, int) or node not in range(1, self._nodes):
            connection.close()
            return
        notice_loss(connection)
        if before := self._hosts.get(node):
            before.connection.close()
        self._hosts[node] = Host(node, name, connection)
        progress(f"host {name} came, {1 + len(self._hosts)} of {self._nodes}")

    def _hear(self, host: Host, progress: Callable[[str], None]) -> None:
        if self._hosts.get(host.node) is not host:
            return  # it has just come again
        told = receive(host.connection) or {"failed": "it ended"}
        if "failed" not in told:
            host.ready = True
            return
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self._hosts.pop(host.node).connection.close()
        progress(f"host {host.name} left: {told['failed']}")

    def begin(self) -> int:
        """Let all hosts begin. Returns the port of torchrun's store on this host."""
        with socket.create_server((self.address, 0)) as free:
            port = int(free.getsockname()[1])
        for host in self._hosts.values():
            host.connection.settimeout(None)
            send(host.connection, port=port, nodes=self._nodes)
        return port

    @contextmanager
    def watch(self, running: subprocess.Popen[str]) -> Iterator[None]:
        """End the processes of this host as soon as a further host ends."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(running, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            if running.poll():
                watcher.join(LAST_WORD_SECONDS)
            over.set()
            watcher.join()

    def _watch(self, running: subprocess.Popen[str], over: threading.Event) -> None:
        hosts = {host.connection: host for host in self._hosts.values()}
        while not over.is_set():
            for each in select.select(list(hosts), [], [], 0.2)[0]:
                told = receive(each)
                self.said.append(f"{hosts[each].name}: {told.get('failed') if told else 'it ended'}")
                running.terminate()
                return
