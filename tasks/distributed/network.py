"""What hosts that train together say to each other, and the network that they use. IPv4 only, Linux only.

A message is one line of JSON. Nothing is encrypted, as in torch's own traffic.
"""

import fcntl
import json
import socket
import struct
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from stillhouse.tasks.errors import ServiceError

LOOPBACK = "127.0.0.1"
MOST_BYTES = 4000
"""Maximum length of a message."""
SIOCGIFADDR = 0x8915
LOST_AFTER = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 4}
"""A host that is switched off is noticed after 30 seconds."""


def address_towards(server: str) -> str:
    """Return the address of this host on the network that leads to a server.

    Args:
        server: URL. If it has no host, the address is that of this host alone.

    Raises:
        ServiceError: no IPv4 network leads there.
    """
    host = urlsplit(server).hostname or LOOPBACK
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError as error:
        msg = f"no IPv4 network leads to {host} ({error.strerror or error}); mend its name or set nodes to 1"
        raise ServiceError(msg) from error


def interface_of(address: str) -> str:
    """Return the network interface that has an address of this host.

    Raises:
        ServiceError: it is no interface's first address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # this interface has no IPv4 address
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    msg = f"no network interface of this host has {address} as its first address; set nodes to 1"
    raise ServiceError(msg)


def notice_loss(connection: socket.socket) -> None:
    """Let the kernel close a connection when the other host is gone without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in LOST_AFTER.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def send(connection: socket.socket, **message: str | int) -> None:
    """Send a message. If the other end is gone, nothing happens: reading from it tells so."""
    with suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Wait for one message. Returns None if the other end is gone or does not speak as we do."""
    line = b""
    try:
        while not line.endswith(b"\n"):
            part = connection.recv(1)
            if not part or len(line) > MOST_BYTES:
                return None
            line += part
        message = json.loads(line)
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) else None
