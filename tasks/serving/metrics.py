"""Metrics of a server for Prometheus: requests, their seconds, the served version, and whether it is the champion.

The counters of several serving processes are files in a common folder, so that a scrape of any process has them all.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from stillhouse.tasks.serving.served import Answering

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the common folder. prometheus_client reads it when it is imported, so it is imported late."""
BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0)
"""Upper bounds of the classes of seconds."""
COUNT_SECONDS = 0.2
"""Seconds until a request is counted, at most."""
ANSWERED = 200


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
            "Seconds from the head of an answered request to its answer.",
            ("protocol",),
            buckets=BOUNDS,
            registry=self.registry,
        )
        self._noted = defaultdict[str, list[float]](list)

    def note(self, protocol: str, seconds: float) -> None:
        """Remember an answered request, and count it soon: to count takes a tenth of the time of a small answer."""
        if not self._noted:
            asyncio.get_running_loop().call_later(COUNT_SECONDS, self.count)
        self._noted[protocol].append(seconds)

    def refuse(self, path: str, status: int) -> None:
        """Count a request without an answer, unless it asked for another page."""
        if protocol := protocol_of(path):
            self.requests.labels(protocol, status).inc()

    def count(self) -> None:
        """Count the remembered requests."""
        noted, self._noted = self._noted, defaultdict(list)
        for protocol, several in noted.items():
            self.requests.labels(protocol, ANSWERED).inc(len(several))
            observe = self.seconds.labels(protocol).observe
            for seconds in several:
                observe(seconds)

    def page(self, follower: Answering) -> bytes:
        """Return the text of a scrape. All facts on the version come from one moment."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        self.count()
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


def protocol_of(path: str) -> str:
    """Return the name of the protocol of a path, or an empty string for other pages."""
    first = path.split("/", 2)[1]
    return first if first in {"answer", "invocations", "v2"} else ""
