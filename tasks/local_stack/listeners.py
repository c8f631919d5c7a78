"""Who listens at a TCP port of this host: how a server proves that it is ours. Read from /proc: Linux only.

An address that answers proves nothing, since any house's MLflow says the same. The kernel knows whose socket answers.
"""

import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from stillhouse.tasks.local_stack.processes import marked

LISTENING = "0A"
"""The state of a socket in the kernel's tables."""


def is_held_by(port: int, mark: str) -> bool:
    """Tell whether what is sent to 127.0.0.1 at a port reaches a process with this mark."""
    return bool(_listening(port) & _sockets_of(marked(mark)))


def is_lost(port: int, mark: str) -> bool:
    """Tell whether what is sent to 127.0.0.1 at a port reaches somebody, and no process with this mark."""
    return all(_is_foreign(port, mark) for _ in range(2))  # twice: a socket may have come or gone between two looks


def _is_foreign(port: int, mark: str) -> bool:
    listening = _listening(port)
    return bool(listening) and not listening & _sockets_of(marked(mark))


def _listening(port: int) -> set[str]:
    """Inodes of the sockets that get what is sent to 127.0.0.1: those of the narrowest address."""
    found: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for fields in _rows(Path("/proc/net") / table):
            address, _, number = fields[1].rpartition(":")
            if fields[3] == LISTENING and int(number, 16) == port and address in _WIDTH:
                found.setdefault(_WIDTH[address], set()).add(fields[9])
    return found[min(found)] if found else set()


def _rows(table: Path) -> Iterable[list[str]]:
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:  # a host without IPv6
        return []
    return [line.split() for line in lines]


def _sockets_of(pids: Iterable[int]) -> set[str]:
    """Inodes of all sockets that some processes hold open."""
    links = [_target(link) for pid in pids for link in _links(Path(f"/proc/{pid}/fd"))]
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}


def _links(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # ended meanwhile, or another user's
        return []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _words(address: bytes) -> str:
    """Write an address as the kernel's tables do: in words of four bytes, each in this machine's order."""
    words = [address[start : start + 4] for start in range(0, len(address), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


_WIDTH = {
    _words(socket.inet_pton(socket.AF_INET, "127.0.0.1")): 0,
    _words(socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1")): 0,
    _words(socket.inet_pton(socket.AF_INET, "0.0.0.0")): 1,  # noqa: S104 - looked for, not listened at
    _words(socket.inet_pton(socket.AF_INET6, "::")): 2,
}
"""The addresses at which 127.0.0.1 is heard; of several listeners the narrowest gets it."""
