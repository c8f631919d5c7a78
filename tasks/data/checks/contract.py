"""Whether the data contract can be checked here: the light installation has no Great Expectations."""

import importlib.metadata

ABSENT = "not installed"
UNCHECKED = "the data contract was not checked, because Great Expectations is not installed"


def find_checker() -> str:
    """Return the version of Great Expectations, or `ABSENT`. The key of the stage `validate` includes it."""
    return version_of("great-expectations")


def version_of(package: str) -> str:
    """Return the version of an installed package, or `ABSENT`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT
