"""The one place that turns a name into a workload.

A workload has two faces, `runtime` for what ships and `training` for what trains, each in a module of that name. They
are named by their paths: what judges must not import what trains, and a stage's key counts the workload in use and no
other.
"""

import difflib
import pkgutil
from typing import Any

from models.errors import ModelError

WORKLOADS = ("image_classification", "retrieval")
ALONE = "model"
"""Component of a model that has only one."""


def module_of(name: str, face: str) -> str:
    """Name the module of a workload's face."""
    return f"models.workloads.{name}.{face}"


def resolve(name: str, face: str) -> Any:  # noqa: ANN401 - whoever knows the face gives its type
    """Import a face of a workload.

    Raises:
        ModelError: there is no such workload.
    """
    return pkgutil.resolve_name(f"{module_of(check_workload(name), face)}:{face.upper()}")


def check_workload(name: str) -> str:
    """Give a name back if it is that of a workload.

    Raises:
        ModelError: it is not; suggests the nearest one.
    """
    if name not in WORKLOADS:
        near = difflib.get_close_matches(name, WORKLOADS, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        msg = f"there is no workload {name!r}; {meant}use one of {', '.join(WORKLOADS)}"
        raise ModelError(msg)
    return name
