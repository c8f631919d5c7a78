"""The one place that turns a name into a workload: a built-in one, or one that an installed package offers.

A workload is a package of three modules: `training` for what trains, `runtime` for what ships, and `report` for what
people read of it. They are named by their paths: what judges must not import what trains, and the key of a stage counts
the workload in use and no other.
"""

import pkgutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.models.providers import WORKLOADS, Provider, find

Face = Literal["training", "runtime", "report"]
ALONE = "model"
"""Component of a model that has only one."""


@dataclass(frozen=True)
class BuiltIn:
    """What is known of a workload before it is imported, so that a recipe is refused while it is read."""

    package: str
    components: Mapping[str, Collection[str]]
    """All components that a model may have -> the kinds of distillation that it can learn by."""
    needed: Collection[str]
    """Those that it must have."""


BUILT_IN = {
    "image_classification": BuiltIn("stillhouse.models.workloads.image_classification", {ALONE: ("logits",)}, (ALONE,)),
    "retrieval": BuiltIn(
        "stillhouse.models.workloads.retrieval",
        {"image": ("embedding",), "text": ("embedding",), "speech": ("embedding", "ctc")},
        ("image", "text"),
    ),
}


def provider_of(name: str) -> Provider | None:
    """Find the package that offers a workload; None for a built-in one.

    Raises:
        ModelError: there is no such workload, or several packages offer it.
    """
    return find(WORKLOADS, name, BUILT_IN)


def module_of(name: str, face: Face) -> str:
    """Name the module of a workload's face.

    Raises:
        ModelError: there is no such workload, or several packages offer it.
    """
    provider = provider_of(name)
    return f"{provider.target if provider else BUILT_IN[name].package}.{face}"


def resolve(name: str, face: Face) -> Any:  # noqa: ANN401 - whoever knows the face gives its type
    """Import a face of a workload.

    Raises:
        ModelError: there is no such workload, several packages offer it, or its package cannot be imported.
    """
    provider, target = provider_of(name), f"{module_of(name, face)}:{face.upper()}"
    return provider.load(target) if provider else pkgutil.resolve_name(target)


def check_workload(name: str) -> str:
    """Give a name back if it is that of a workload.

    Raises:
        ModelError: it is not; suggests the nearest one.
    """
    provider_of(name)
    return name


def misfit_of_components(workload: str, components: Collection[str]) -> str:
    """Say why a model of a built-in workload cannot have these components; nothing if it can."""
    known = BUILT_IN.get(workload)
    if known is None:
        return ""
    if unknown := [name for name in components if name not in known.components]:
        return f"a model for {workload} has no {' and no '.join(unknown)}; it has {', '.join(known.components)}"
    if missing := [name for name in known.needed if name not in components]:
        return f"the teacher has no {' and no '.join(missing)}; a model for {workload} needs {', '.join(known.needed)}"
    return ""


def misfit_of_kind(workload: str, component: str, kind: str) -> str:
    """Say why a component of a built-in workload cannot learn by a kind of distillation; nothing if it can."""
    known = BUILT_IN.get(workload)
    kinds = known.components.get(component, ()) if known else (kind,)
    if kind in kinds:
        return ""
    what = f"component {component}" if component != ALONE else "model"
    return f"the {what} of workload {workload} cannot learn by {kind}; set distillation kind {' or '.join(kinds)}"
