"""Which TCP port a server of the embedded stack gets. It opens no server itself."""

import socket

from stillhouse.tasks.errors import ServiceError

REACH = 100
"""How many ports above the preferred one are tried."""


def is_free(port: int) -> bool:
    """Tell whether nobody on this host holds a port, on 127.0.0.1 or on all interfaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - any holder at all must be noticed; nothing listens here
        except OSError:
            return False
    return True


def choose_ports(preferred: dict[str, int]) -> dict[str, int]:
    """Give every name its preferred port, or the next one that is free and not given away already.

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
