"""Load a server with requests: at random moments at a given rate, or as fast as a few connections allow.

At a given rate, a request's time counts from the moment when it was due, even if every connection was still busy. So a
server that stalls is also charged for the requests that had to wait.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

CONNECTIONS = 16
ANSWER_SECONDS = 30.0
"""If a request has no answer after this many seconds, it counts as lost."""
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
OK = 200


@dataclass(frozen=True)
class Body:
    """The body of a request."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class Load:
    """The results of a load test."""

    milliseconds: Sequence[float]
    """One value for each answered request."""
    lost: int
    """Number of requests that were refused, broken off, or answered with a status other than 200."""
    seconds: float
    answers: Sequence[bytes]

    def percentile(self, percent: float) -> float:
        """Return the milliseconds within which this percentage of the requests was answered."""
        return float(np.percentile(self.milliseconds, percent))

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.milliseconds) / self.seconds


def at_rate(address: str, bodies: Sequence[Body], rate: float, seconds: float, seed: int = 3) -> Load:
    """Send requests at random moments, at a mean rate.

    Args:
        address: address of the endpoint, such as `http://127.0.0.1:8500/answer`.
        bodies: request bodies, sent in turn.
        rate: requests per second.
        seconds: duration of the load.
        seed: seed of the moments; the gaps between them are exponential.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
    return asyncio.run(_run(address, bodies, iter(np.cumsum(gaps).tolist()), CONNECTIONS))


def at_most(address: str, bodies: Sequence[Body], seconds: float, connections: int = 8) -> Load:
    """Send the next request as soon as an answer arrives, over a few parallel connections."""
    return asyncio.run(_run(address, bodies, _until(time.monotonic() + seconds), connections))


def _until(end: float) -> Iterator[float]:
    """Yield moments that are due at once, until the end."""
    while time.monotonic() < end:
        yield 0.0


async def _run(address: str, bodies: Sequence[Body], moments: Iterator[float], connections: int) -> Load:
    place = urlsplit(address)
    requests = itertools.cycle([_request(place.netloc, place.path, body) for body in bodies])
    milliseconds: list[float] = []
    answers: list[bytes] = []
    lost, start = 0, time.monotonic()

    async def connection() -> None:
        nonlocal lost
        line: _Line | None = None
        for moment, request in zip(moments, requests, strict=False):
            await asyncio.sleep(max(0.0, start + moment - time.monotonic()))
            began = start + moment if moment else time.monotonic()
            try:
                line = line or await _Line.opened(place.hostname or "", place.port or 80)
                status, answer = await asyncio.wait_for(line.ask(request), ANSWER_SECONDS)
            except (OSError, EOFError, TimeoutError):
                await _closed(line)
                status, answer, line = 0, b"", None
            if status == OK:
                milliseconds.append(1e3 * (time.monotonic() - began))
                answers.append(answer)
            lost += status != OK
        await _closed(line)

    await asyncio.gather(*(connection() for _ in range(connections)))
    return Load(milliseconds, lost, time.monotonic() - start, answers)


def _request(host: str, path: str, body: Body) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {body.media_type}\r\n"
    return f"{head}Content-Length: {len(body.content)}\r\n\r\n".encode() + body.content


@dataclass(frozen=True)
class _Line:
    """One connection that stays open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, host: str, port: int) -> "_Line":
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; returns status and body of the answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        return int(head.split(b" ", 2)[1]), await self.reader.readexactly(int(length[1]) if length else 0)


async def _closed(line: _Line | None) -> None:
    """Close a connection, if there is one. Errors of the other end are ignored."""
    if line is not None:
        line.writer.close()
        with suppress(OSError):
            await line.writer.wait_closed()
