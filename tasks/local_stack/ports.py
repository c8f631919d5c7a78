"""Choose the TCP ports for the servers of the embedded stack. This module opens no server."""

import socket

from stillhouse.tasks.errors import ServiceError

REACH = 100
"""Number of ports above the preferred one that are tried."""


def is_free(port: int) -> bool:
    """Tell whether a port is free on 127.0.0.1 and on all interfaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - any holder at all must be noticed; nothing listens here
        except OSError:
            return False
    return True


def choose_ports(preferred: dict[str, int]) -> dict[str, int]:
    """Give every name its preferred port, or the next free port that is not assigned yet.

    Raises:
        ServiceError: no port within `REACH` of a preferred one is free.
    """
    chosen: dict[str, int] = {}
    for name, first in preferred.items():
        candidates = range(first, min(first + REACH, 65536))
        port = next((p for p in candidates if p not in chosen.values() and is_free(p)), None)
        if port is None:
            msg = f"no free port for {name} from {first} to {candidates[-1]}; stop a server that holds one of them"
            raise ServiceError(msg)
        chosen[name] = port
    return chosen
