"""Start background servers, and end all their processes without touching processes of others.

A server starts in its own session with a random mark in its environment. Every descendant process inherits the mark,
even if its parent was killed. So orphans are found, and a process that only got a recycled id is not mistaken for one
of ours. The data comes from /proc: Linux only.
"""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "STILLHOUSE_SERVER"
GRACE_SECONDS = 10.0
"""Seconds that a server has to end by itself before it is killed."""
POLL_SECONDS = 0.1
_started: list[subprocess.Popen[bytes]] = []
"""Processes that this process has started. They are kept, because no code waits for a server that outlives it."""


@dataclass(frozen=True)
class Server:
    """One started server: its first process, and the mark of all its processes."""

    pid: int
    mark: str

    def is_running(self) -> bool:
        """Tell whether the first process of the server is alive."""
        return self.pid in find_marked(self.mark)

    def children(self) -> list[int]:
        """Return the ids of the living child processes of the first process."""
        return [pid for pid in find_marked(self.mark) if _parent(pid) == self.pid]


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Server:
    """Start a server that outlives this process, and append its output to a log file."""
    mark = secrets.token_hex(8)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"server {mark} starts\n".encode())
        stream.flush()
        process = subprocess.Popen(  # noqa: S603 - the callers' fixed commands, no shell
            command,
            env={**environment, MARK: mark, "SPT_NOENV": "1"},  # or process titles overwrite the mark
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,
        )
    _started.append(process)
    return Server(process.pid, mark)


def find_marked(mark: str) -> list[int]:
    """Return the ids of all living processes of a server, whatever their present parent is."""
    wanted = f"{MARK}={mark}".encode()
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    return [int(folder.name) for folder in folders if wanted in _read(folder / "environ").split(b"\0")]


def end(mark: str) -> int:
    """Ask all processes of a server to end, then kill the rest; returns the number of processes."""
    first = find_marked(mark)
    _signal(first, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := find_marked(mark)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    while left:  # repeat, because a dying parent may have started another process
        _signal(left, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
        left = find_marked(mark)
    return len(first)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _parent(pid: int) -> int:
    # The format is "pid (any name) state parent ...". The name may contain blanks and brackets.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended or belongs to another user
        return b""
