"""The installed packages that a recipe uses, and a check that they are the same as when a run began.

This module is light where it can be, because DAG files read it. Only `check_foreign` imports any of these packages.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.models import providers
from stillhouse.models.errors import ModelError
from stillhouse.models.providers import Provider
from stillhouse.models.workloads.registry import ALONE, provider_of
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.network_arguments import ARGUMENTS
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.recipe.steps import distillation_of
from stillhouse.tasks.recipe.teacher import Network

FACTS = ("group", "name", "distribution", "version", "digest")
"""What a run keeps of a provider."""


def providers_of(recipe: Recipe) -> tuple[Provider, ...]:
    """Find the packages that offer the recipe's workload and networks. Built-in names have no package.

    Raises:
        ModelError: no package offers a name any more, or several packages offer it.
    """
    offered = [provider_of(recipe.workload)]
    offered += [providers.find(providers.NETWORKS, network.name, ARGUMENTS) for network in _networks(recipe)]
    found = {provider for provider in offered if provider is not None}
    return tuple(sorted(found, key=lambda each: (each.group, each.name)))


def list_used(recipe: Recipe) -> list[dict[str, str]]:
    """Give the `FACTS` of each package that a recipe uses, as they are now, as a list that JSON can hold.

    Raises:
        ModelError: a package is not installed.
    """
    return [{fact: getattr(each, fact) for fact in FACTS} for each in providers_of(recipe)]


def expect_same(before: Sequence[Mapping[str, str]], what: str) -> None:
    """Compare the packages that a thing was made with to the packages on this machine.

    Args:
        before: the result of `list_used` at that time.
        what: name of the thing, such as `run nightly_x`.

    Raises:
        StillhouseError: a package is missing here, or differs.
    """
    for each in before:
        needs = f"{what} needs the package {each['distribution']} {each['version']}"
        try:
            now = providers.find(each["group"], each["name"], ())
            digest = now.digest if now else ""
        except ModelError as error:
            msg = f"{needs}, which this machine does not have; install it, then run this again"
            raise StillhouseError(msg) from error
        if now and (now.version, digest) != (each["version"], each["digest"]):
            had = f"{now.version}" if now.version != each["version"] else "the same version with other files"
            msg = f"{needs}, and this machine has {had}; install what it was made with, or begin another run"
            raise StillhouseError(msg)


def check_foreign(recipe: Recipe) -> None:
    """Check the sections of a recipe that belong to an installed package. Reading the recipe does not check them.

    Raises:
        ModelError: a package cannot be imported, or refuses the recipe's settings.
    """
    if not providers_of(recipe):
        return
    from stillhouse.models.networks.registry import check_arguments
    from stillhouse.models.workloads.training_base import training_of

    for network in _networks(recipe):
        check_arguments(network.name, network.arguments)
    components = tuple(recipe.teacher.networks) or (ALONE,)
    training_of(recipe.workload).check(components, _distillations(recipe, components))


def _networks(recipe: Recipe) -> list[Network]:
    steps = [network for step in recipe.steps if (network := getattr(step, "network", None))]
    return [*recipe.teacher.networks.values(), *steps]


def _distillations(recipe: Recipe, components: Sequence[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in components}
    for step in recipe.steps:
        if distillation := distillation_of(step):
            found[step.component or components[0]].append(distillation)
    return found
