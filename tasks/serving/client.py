"""Put load on a server: requests at random moments at a given rate, or as many as a few connections can ask for.

At a given rate a request's time counts from the moment at which it was due, also when every connection was still
busy then: a server that stalls is not spared the requests that it made wait.
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
"""A request without an answer by then is lost."""
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
OK = 200


@dataclass(frozen=True)
class Body:
    """What is asked."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class Load:
    """What became of the requests."""

    milliseconds: Sequence[float]
    """One for each that was answered."""
    lost: int
    """Refused, broken off, or answered with anything but 200."""
    seconds: float
    answers: Sequence[bytes]

    def percentile(self, percent: float) -> float:
        """Milliseconds within which this share of the requests was answered."""
        return float(np.percentile(self.milliseconds, percent))

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.milliseconds) / self.seconds


def at_rate(address: str, bodies: Sequence[Body], rate: float, seconds: float, seed: int = 3) -> Load:
    """Ask at random moments, on average so many times a second.

    Args:
        address: of the page that answers, such as `http://127.0.0.1:8500/answer`.
        bodies: asked in turn.
        rate: requests per second.
        seconds: for how long requests come.
        seed: of the moments; the gaps between them are exponential.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
    return asyncio.run(_run(address, bodies, iter(np.cumsum(gaps).tolist()), CONNECTIONS))


def at_most(address: str, bodies: Sequence[Body], seconds: float, connections: int = 8) -> Load:
    """Ask again as soon as an answer is there, over a few connections at once."""
    return asyncio.run(_run(address, bodies, _until(time.monotonic() + seconds), connections))


def _until(end: float) -> Iterator[float]:
    """Give moments that are always due, until the end."""
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
    """One connection, kept open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, host: str, port: int) -> "_Line":
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Give status and body of the answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        return int(head.split(b" ", 2)[1]), await self.reader.readexactly(int(length[1]) if length else 0)


async def _closed(line: _Line | None) -> None:
    """Close a connection, if there is one; how the other end takes it does not matter."""
    if line is not None:
        line.writer.close()
        with suppress(OSError):
            await line.writer.wait_closed()
