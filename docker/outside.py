"""What a stranger and a reader can do to the stack.

`outside.py ports ADDRESS [PORT...]` and `outside.py reader URL FILE_OF_PASSWORD MODEL` are its two uses.

`ports` runs where another host is. It prints the open ports of ADDRESS, and ends with exit code 1 if one is open that
docker/hosts.yaml does not publish. Each PORT is one that another program of that host has opened, and is left out.
`reader` tries to promote, to register and to change an alias with MLflow's account
`reader`, and ends with exit code 1 if MLflow allows any of it. Standard library only: it runs on the host.
"""

import base64
import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

PUBLISHED = {5000, 6379, 8080, 9000}
"""MLflow, Redis, Airflow's API server and S3, for workers of other hosts."""
REFUSED = 403


def open_ports(address: str) -> set[int]:
    """Return the ports that accept connections."""
    return {port for port in range(1, 65536) if accepts(address, port)}


def accepts(address: str, port: int) -> bool:
    """Tell whether a port accepts a connection."""
    with socket.socket() as tried:
        tried.settimeout(2)
        return tried.connect_ex((address, port)) == 0


def ask(url: str, password: str, method: str, body: Mapping[str, str]) -> int:
    """Send a request as `reader`. Returns the status of the answer."""
    login = base64.b64encode(f"reader:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - likewise
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def allowed_changes(url: str, password: str, model: str) -> list[str]:
    """Return the changes that MLflow did not refuse."""
    api = f"{url}/api/2.0/mlflow"
    changes: list[tuple[str, str, str, dict[str, str]]] = [
        (
            "promote",
            "POST",
            "registered-models/alias",
            {"name": f"{model}-production", "alias": "champion", "version": "1"},
        ),
        ("change an alias", "POST", "registered-models/alias", {"name": model, "alias": "candidate", "version": "1"}),
        ("delete an alias", "DELETE", "registered-models/alias", {"name": model, "alias": "candidate"}),
        ("register", "POST", "model-versions/create", {"name": model, "source": "models:/other/1"}),
        ("create a model", "POST", "registered-models/create", {"name": "of_the_reader"}),
        ("create a run", "POST", "runs/create", {"experiment_id": "0"}),
    ]
    return [name for name, method, path, body in changes if ask(f"{api}/{path}", password, method, body) != REFUSED]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ports", address, *others]:
            found = open_ports(address) - set(map(int, others))
            print("ports that answer another host:", *sorted(found))  # noqa: T201 - the result
            sys.exit(1 if found - PUBLISHED else 0)
        case ["reader", url, file, model]:
            possible = allowed_changes(url, Path(file).read_text(encoding="ascii").strip(), model)
            print("a reader can:", *possible or ["read only"])  # noqa: T201 - the result
            sys.exit(1 if possible else 0)
        case _:
            sys.exit(__doc__)
