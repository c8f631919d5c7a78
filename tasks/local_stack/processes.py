"""Background servers and how they are ended: all of their processes, and never somebody else's.

A server is started in a session of its own with a random mark in its environment. Every process it
ever starts inherits the mark, also one whose parent was killed, so an orphan is found again and a
process that merely got a recycled id is not. Read from /proc: Linux only.
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
"""How long a server may take to end by itself before it is killed."""
POLL_SECONDS = 0.1
_started: list[subprocess.Popen[bytes]] = []
"""What this process has started: kept, because nobody waits for a server that outlives it."""


@dataclass(frozen=True)
class Server:
    """One started server: its first process and the mark of all of them."""

    pid: int
    mark: str

    def is_running(self) -> bool:
        """Tell whether the first process of the server still lives."""
        return self.pid in marked(self.mark)

    def children(self) -> list[int]:
        """Ids of the living processes right under the first one."""
        return [pid for pid in marked(self.mark) if _parent(pid) == self.pid]


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Server:
    """Start a server that outlives this process, its output appended to a log file."""
    mark = secrets.token_hex(8)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
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


def marked(mark: str) -> list[int]:
    """Ids of all living processes of a server, whoever their parent is by now."""
    wanted = f"{MARK}={mark}".encode()
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    return [int(folder.name) for folder in folders if wanted in _read(folder / "environ").split(b"\0")]


def end(mark: str) -> int:
    """Ask all processes of a server to end, kill those that do not, and say how many there were."""
    first = marked(mark)
    _signal(first, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    while left:  # until none is left: a dying parent may have started another
        _signal(left, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
        left = marked(mark)
    return len(first)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _parent(pid: int) -> int:
    # "pid (any name) state parent ...": the name may hold blanks and brackets.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile, or another user's
        return b""
