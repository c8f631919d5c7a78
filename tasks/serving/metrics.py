"""Metrics of a server for Prometheus: requests, their seconds, the served version, and whether it is the champion.

The counters of several serving processes are files in a common folder, so that a scrape of any process has them all.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillhouse.tasks.serving.follow import Answering

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the common folder. prometheus_client reads it when it is imported, so it is imported late."""
BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0)
"""Upper bounds of the classes of seconds."""
STATUS = 500
"""Status of a request that ends without an answer."""


class Counters:
    """Counts the requests of one process."""

    def __init__(self) -> None:
        """Start at zero."""
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        self.requests = Counter(
            "stillhouse_requests", "Requests by status.", ("protocol", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "stillhouse_request_seconds",
            "Seconds from a request's head to its answer.",
            ("protocol",),
            buckets=BOUNDS,
            registry=self.registry,
        )

    def page(self, follower: Answering) -> bytes:
        """Return the text of a scrape. All facts on the version come from one moment."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        whole = CollectorRegistry()
        if SHARED_FOLDER in os.environ:
            MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
        else:
            whole.register(self.registry)
        whole.register(_State(follower))
        return bytes(generate_latest(whole))


class _State:
    """Collects what is served."""

    def __init__(self, follower: Answering) -> None:
        self.follower = follower

    def collect(self) -> Iterator[Any]:
        """Yield the version, and whether it is the champion."""
        from prometheus_client.core import GaugeMetricFamily

        served, problem = self.follower.current, self.follower.problem
        info = GaugeMetricFamily("stillhouse_model_info", "The served version.", labels=list(served.who))
        info.add_metric(list(served.who.values()), 1)
        yield info
        told = "1 if the served version is not the champion."
        yield GaugeMetricFamily("stillhouse_behind", told, value=float(problem is not None))


class Counted:
    """Middleware that counts requests to a model, and their seconds."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        """Keep the application."""
        self.app, self.counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        protocol = protocol_of(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else ""
        if not protocol:
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), STATUS

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            self.counters.requests.labels(protocol, status).inc()
            self.counters.seconds.labels(protocol).observe(time.perf_counter() - began)


def protocol_of(path: str) -> str:
    """Return the name of the protocol of a path, or an empty string for other pages."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return first if first in {"answer", "invocations", "v2"} else ""
