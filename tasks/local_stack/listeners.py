"""Find the process that listens at a TCP port of this host, to prove that a server is ours.

An answer at an address proves nothing, because the MLflow of every deployment answers the same. The kernel knows the
owner of a socket. The data comes from /proc: Linux only.
"""

import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from stillhouse.tasks.local_stack.processes import find_marked

LISTENING = "0A"
"""State code of a listening socket in the kernel's tables."""


def is_held_by(port: int, mark: str) -> bool:
    """Tell whether a process with this mark receives the connections to 127.0.0.1 at a port."""
    return bool(_listening(port) & _sockets_of(find_marked(mark)))


def is_lost(port: int, mark: str) -> bool:
    """Tell whether another process, and no process with this mark, receives the connections to 127.0.0.1 at a port."""
    return all(_is_foreign(port, mark) for _ in range(2))  # checked twice, as sockets may change between reads


def _is_foreign(port: int, mark: str) -> bool:
    listening = _listening(port)
    return bool(listening) and not listening & _sockets_of(find_marked(mark))


def _listening(port: int) -> set[str]:
    """Return the inodes of the sockets that receive connections to 127.0.0.1: those with the narrowest address."""
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
    except OSError:  # the host has no IPv6
        return []
    return [line.split() for line in lines]


def _sockets_of(pids: Iterable[int]) -> set[str]:
    """Return the inodes of all open sockets of some processes."""
    links = [_target(link) for pid in pids for link in _links(Path(f"/proc/{pid}/fd"))]
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}


def _links(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # the process has ended or belongs to another user
        return []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the file was closed meanwhile
        return ""


def _words(address: bytes) -> str:
    """Write an address in the format of the kernel's tables: words of four bytes, each in this machine's byte order."""
    words = [address[start : start + 4] for start in range(0, len(address), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


_WIDTH = {
    _words(socket.inet_pton(socket.AF_INET, "127.0.0.1")): 0,
    _words(socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1")): 0,
    _words(socket.inet_pton(socket.AF_INET, "0.0.0.0")): 1,  # noqa: S104 - looked for, not listened at
    _words(socket.inet_pton(socket.AF_INET6, "::")): 2,
}
"""Addresses that receive connections to 127.0.0.1, with their rank. The narrowest listener (lowest rank) gets them."""
