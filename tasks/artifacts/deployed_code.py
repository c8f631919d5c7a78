"""The code of a deployment: our sources, the libraries, and the installed packages that offer workloads or networks.

A worker compares its own code with that of the deployment before it works. So all workers of one deployment compute
the same keys. Recipes are not part of the code: a run keeps the recipe that it began with.
"""

import json
import platform
import socket
from collections.abc import Iterator, Mapping
from functools import cache

from stillhouse.models.errors import ModelError
from stillhouse.models.providers import NETWORKS, WORKLOADS, Provider, list_providers
from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.artifacts.code_version import RUNNING, name_sources
from stillhouse.tasks.artifacts.source_digest import ABSENT, LIBRARIES, version_of
from stillhouse.tasks.errors import ServiceError

VARIABLE = "stillhouse_code"
"""Airflow's variable that holds `describe_code` of the deployment, as JSON."""
SOURCES = "Stillhouse"
Code = Mapping[str, str]
"""Name of a part of the code -> its version."""


@cache  # once per process: a process keeps the code that it loaded
def describe_code() -> Code:
    """Return the version of each part of the code of this process.

    A version of a library has no local part such as `+cpu`, because workers with a GPU have another build of torch.
    """
    libraries = {name: version_of(name).partition("+")[0] for name in LIBRARIES}
    return {SOURCES: name_sources(RUNNING), "Python": platform.python_version(), **libraries, **_packages()}


def expect_code(deployed: str) -> None:
    """Compare the code of this process with that of the deployment.

    Args:
        deployed: `describe_code` of the deployment, as JSON.

    Raises:
        ServiceError: a part differs. The message names this host, each such part, and the remedy.
    """
    try:
        there: Code = dict(json.loads(deployed))
    except (ValueError, TypeError) as error:
        msg = f"Airflow's variable {VARIABLE} does not describe any code; run `prepare.py code` in the deployment"
        raise ServiceError(msg) from error
    if differing := list(_compare(describe_code(), there)):
        msg = (
            f"the worker {socket.gethostname()} has other code than this deployment ({'; '.join(differing)}); start "
            "that worker again from the image of the deployment, with the same packages"
        )
        raise ServiceError(msg)


def _compare(here: Code, there: Code) -> Iterator[str]:
    for name in sorted({*here, *there}, key=lambda each: (each != SOURCES, each)):
        mine, theirs = here.get(name, ABSENT), there.get(name, ABSENT)
        if mine != theirs:
            yield f"{name}: {mine} instead of {theirs}"


def _packages() -> Code:
    """Return each package that offers a workload or a network, with its version and a digest of its files."""
    found: dict[str, list[Provider]] = {}
    for provider in (*list_providers(WORKLOADS), *list_providers(NETWORKS)):
        found.setdefault(provider.distribution, []).append(provider)
    return {f"package {name}": _describe(providers) for name, providers in found.items()}


def _describe(providers: list[Provider]) -> str:
    try:
        digest = json_digest(sorted({provider.digest for provider in providers}))
    except ModelError:
        return f"{providers[0].version} without its files"
    return f"{providers[0].version} (files {digest[:12]})"
