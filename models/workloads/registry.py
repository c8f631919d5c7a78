"""Find a workload by its name: a built-in workload, or one of an installed package.

A workload is a package of three modules: `training`, `runtime` (for the shipped model) and `report`. The modules are
named by their paths, and not imported here, for two reasons. The evaluation must not import training code. The key of a
stage must depend only on the workload in use.
"""

import pkgutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.models.providers import WORKLOADS, Provider, find

Face = Literal["training", "runtime", "report"]
ALONE = "model"
"""Component name of a model with only one component."""
JUDGES = "judges"
"""Folder of the networks that judge a model's answers, in the references of the stage `export`."""


@dataclass(frozen=True)
class BuiltIn:
    """Facts about a workload that are known before it is imported, so that a recipe can be checked when it is read."""

    package: str
    components: Mapping[str, Collection[str]]
    """All components that a model may have -> the kinds of distillation that each one supports."""
    needed: Collection[str]
    """Components that a model must have."""
    of_pictures: bool = False
    """The data are labelled pictures, to which new batches can be added."""


BUILT_IN = {
    "image_classification": BuiltIn(
        "stillhouse.models.workloads.image_classification", {ALONE: ("logits",)}, (ALONE,), of_pictures=True
    ),
    "text_classification": BuiltIn("stillhouse.models.workloads.text_classification", {ALONE: ("logits",)}, (ALONE,)),
    "text_embedding": BuiltIn("stillhouse.models.workloads.text_embedding", {ALONE: ("embedding",)}, (ALONE,)),
    "retrieval": BuiltIn(
        "stillhouse.models.workloads.retrieval",
        {"image": ("embedding",), "text": ("embedding",), "speech": ("embedding", "ctc")},
        ("image", "text"),
        of_pictures=True,
    ),
    "audio_classification": BuiltIn("stillhouse.models.workloads.audio_classification", {ALONE: ("logits",)}, (ALONE,)),
    "speech_recognition": BuiltIn("stillhouse.models.workloads.speech_recognition", {ALONE: ("frames",)}, (ALONE,)),
    "text_to_image": BuiltIn(
        "stillhouse.models.workloads.text_to_image",
        {"text_encoder": ("vectors",), "denoiser": ("paths",), "frechet_judge": (), "prompt_judge": (), "critic": ()},
        ("text_encoder", "denoiser", "frechet_judge", "prompt_judge", "critic"),
    ),
    "text_recognition": BuiltIn("stillhouse.models.workloads.text_recognition", {ALONE: ("frames",)}, (ALONE,)),
}


def provider_of(name: str) -> Provider | None:
    """Find the package that offers a workload. Returns None for a built-in workload.

    Raises:
        ModelError: there is no such workload, or several packages offer it.
    """
    return find(WORKLOADS, name, BUILT_IN)


def module_of(name: str, face: Face) -> str:
    """Return the dotted name of a workload's module for training, runtime or report.

    Raises:
        ModelError: there is no such workload, or several packages offer it.
    """
    provider = provider_of(name)
    return f"{provider.target if provider else BUILT_IN[name].package}.{face}"


def resolve(name: str, face: Face) -> Any:  # noqa: ANN401 - the caller knows the type
    """Import a workload's module for training, runtime or report.

    Raises:
        ModelError: there is no such workload, several packages offer it, or its package cannot be imported.
    """
    provider, target = provider_of(name), f"{module_of(name, face)}:{face.upper()}"
    return provider.load(target) if provider else pkgutil.resolve_name(target)


def check_workload(name: str) -> str:
    """Return the name if a workload has it.

    Raises:
        ModelError: there is no such workload. The message suggests the nearest name.
    """
    provider_of(name)
    return name


def learns_from_pictures(workload: str) -> bool:
    """Tell whether a workload's data are labelled pictures. Nothing is known of a package's workload: it may be."""
    known = BUILT_IN.get(workload)
    return known is None or known.of_pictures


def misfit_of_components(workload: str, components: Collection[str]) -> str:
    """Return why a model of a built-in workload cannot have these components. Empty if it can."""
    known = BUILT_IN.get(workload)
    if known is None:
        return ""
    if unknown := [name for name in components if name not in known.components]:
        return f"a model for {workload} has no {' and no '.join(unknown)}; it has {', '.join(known.components)}"
    if missing := [name for name in known.needed if name not in components]:
        return f"the teacher has no {' and no '.join(missing)}; a model for {workload} needs {', '.join(known.needed)}"
    return ""


def misfit_of_kind(workload: str, component: str, kind: str) -> str:
    """Return why a component of a built-in workload cannot use a kind of distillation. Empty if it can."""
    known = BUILT_IN.get(workload)
    kinds = known.components.get(component, ()) if known else (kind,)
    if kind in kinds:
        return ""
    what = f"component {component}" if component != ALONE else "model"
    return f"the {what} of workload {workload} cannot learn by {kind}; set distillation kind {' or '.join(kinds)}"
