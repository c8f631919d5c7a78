"""Workloads and networks of installed packages, found by their entry points.

Names come from the metadata of the packages and nothing is imported, because Airflow parses DAG files that read
recipes. The source of a provider is part of the key of each stage that runs it.
"""

import difflib
import hashlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.digest import sha256

WORKLOADS, NETWORKS = "stillhouse.workloads", "stillhouse.networks"
"""Entry point groups. A workload's entry point names a package, a network's names a `Known` in a module."""


@dataclass(frozen=True)
class Provider:
    """One entry point of an installed package."""

    group: str
    name: str
    distribution: str
    version: str
    target: str
    """Dotted name of a package, or `module:attribute`."""

    @property
    def what(self) -> str:
        """Describe the package and what it offers."""
        kind = "workload" if self.group == WORKLOADS else "network"
        return f"{kind} {self.name} of the package {self.distribution} {self.version}"

    @property
    def digest(self) -> str:
        """Digest of every file of the package.

        Raises:
            ModelError: the package's files are missing, although its metadata is there.
        """
        return digest_of(tuple(_files(self)))

    @property
    def sources(self) -> list[Path]:
        """List the Python files of the package.

        Raises:
            ModelError: the package's files are missing, although its metadata is there.
        """
        return [path for _, path in _files(self) if path.suffix == ".py"]

    def load(self, target: str | None = None) -> Any:  # noqa: ANN401 - the caller knows the type
        """Import the target of the entry point, or another target of the package.

        Raises:
            ModelError: the import fails. The message gives the reason.
        """
        try:
            return pkgutil.resolve_name(target or self.target)
        except Exception as error:  # a user's module may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            msg = f"{self.what} cannot be imported ({reason}); mend or update that package"
            raise ModelError(msg) from error


def find(group: str, name: str, built_in: Collection[str]) -> Provider | None:
    """Find the provider of a name. Returns None for a built-in name.

    Raises:
        ModelError: there is no such name (the message suggests the nearest one), or several packages offer it.
    """
    found = [provider for provider in list_providers(group) if provider.name == name]
    who = [*(["Stillhouse itself"] if name in built_in else []), *(each.distribution for each in found)]
    if len(who) > 1:
        msg = f"{' and '.join(who)} offer a {_kind(group)} {name!r} each; rename or remove one"
        raise ModelError(msg)
    if not who:
        raise ModelError(_unknown(group, name, (*built_in, *names(group))))
    return found[0] if found else None


def names(group: str) -> list[str]:
    """List the names that installed packages offer in a group."""
    return sorted({provider.name for provider in list_providers(group)})


def _kind(group: str) -> str:
    return group.rpartition(".")[2].removesuffix("s")


def _unknown(group: str, name: str, known: Iterable[str]) -> str:
    kind, listed = _kind(group), list(known)
    near = difflib.get_close_matches(name, listed, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"there is no {kind} {name[:50]!r}; {meant}use one of {', '.join(listed)}, or install the package of it"


@cache  # once per process, because a process keeps the packages that it has loaded
def list_providers(group: str) -> tuple[Provider, ...]:
    """List all entry points of installed packages in a group."""
    points = importlib.metadata.entry_points(group=group)
    found = [
        Provider(group, point.name, point.dist.name, point.dist.version, point.value) for point in points if point.dist
    ]
    return tuple(sorted(found, key=lambda each: (each.name, each.distribution)))


@cache
def digest_of(files: tuple[tuple[str, Path], ...]) -> str:
    """Return the digest of files with their names."""
    total = hashlib.sha256()
    for name, path in files:
        total.update(f"{name}\n{sha256(path)}\n".encode())
    return total.hexdigest()


def _files(provider: Provider) -> list[tuple[str, Path]]:
    """List the files of a provider's package, with names relative to the package, without compiled Python files."""
    found = []
    for root in _roots(provider):
        files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        found += [(path.relative_to(root.parent).as_posix(), path) for path in files if path.suffix != ".pyc"]
    return found


def _roots(provider: Provider) -> list[Path]:
    """Locate the top-level package of a provider, without importing it."""
    top = provider.target.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        msg = f"{provider.what} names the module {top}, which is not installed; install that package again"
        raise ModelError(msg)
    if spec.submodule_search_locations:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(str(spec.origin))]
