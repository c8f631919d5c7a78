"""The memory of a server's processes, sampled while something runs, and the processor's time that they use."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.tasks.local_stack.processes import find_marked

SECONDS = 1.0


class Samples:
    """Megabytes of each part of the servers, sample by sample."""

    def __init__(self) -> None:
        """Begin without samples."""
        self.parts: dict[str, list[float]] = {}

    def add(self, marks: dict[str, str]) -> None:
        """Sample every process of servers, which their marks name. Memory that processes share is shared out."""
        now: dict[str, float] = {}
        for server, mark in marks.items():
            for pid in find_marked(mark):
                part = server if server == "mlflow" else part_of(pid)
                now[part] = now.get(part, 0.0) + megabytes(pid)
        for part, value in now.items():
            self.parts.setdefault(part, []).append(value)


@contextmanager
def sampled(marks: dict[str, str]) -> Iterator[Samples]:
    """Sample the memory of servers until the block ends."""
    samples, stop = Samples(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            samples.add(marks)
            stop.wait(SECONDS)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def part_of(pid: int) -> str:
    """Name the part of Airflow that a process belongs to."""
    title = _read(f"/proc/{pid}/cmdline").replace("\0", " ")
    known = ("scheduler", "dag-processor", "triggerer", "api-server", "api_server", "worker")
    return next((name.replace("_", "-") for name in known if name in title), "other")


def megabytes(pid: int) -> float:
    """Return a process's proportional set size; 0 if it has ended."""
    lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def processor_seconds(marks: dict[str, str]) -> float:
    """Return the seconds of a core that servers have used, with those of their processes that have ended."""
    stats = [
        _read(f"/proc/{pid}/stat").rpartition(")")[2].split() for mark in marks.values() for pid in find_marked(mark)
    ]
    return sum(int(ticks) for stat in stats if stat for ticks in stat[11:15]) / os.sysconf("SC_CLK_TCK")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
