"""Load a server with requests: at random moments at a given rate, or as fast as a few connections allow.

At a given rate, a request's time counts from the moment when it was due, even if every connection was still busy. So a
server that stalls is also charged for the requests that had to wait.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import numpy as np

CONNECTIONS = 16
ANSWER_SECONDS = 30.0
"""If a request has no answer after this many seconds, it counts as lost."""
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
    waiting = itertools.cycle(bodies)
    milliseconds: list[float] = []
    answers: list[bytes] = []
    lost, start = 0, time.monotonic()

    async def send(session: aiohttp.ClientSession) -> None:
        nonlocal lost
        for moment, body in zip(moments, waiting, strict=False):
            await asyncio.sleep(max(0.0, start + moment - time.monotonic()))
            began = start + moment if moment else time.monotonic()
            answer = await _ask(session, address, body)
            if answer is None:
                lost += 1
            else:
                milliseconds.append(1e3 * (time.monotonic() - began))
                answers.append(answer)

    connector, timeout = aiohttp.TCPConnector(limit=connections), aiohttp.ClientTimeout(ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(send(session) for _ in range(connections)))
    return Load(milliseconds, lost, time.monotonic() - start, answers)


async def _ask(session: aiohttp.ClientSession, address: str, body: Body) -> bytes | None:
    """Return an answer, or None if the request was refused, broken off or not answered."""
    try:
        async with session.post(address, data=body.content, headers={"Content-Type": body.media_type}) as reply:
            answer = await reply.read()
            return answer if reply.status == OK else None
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
