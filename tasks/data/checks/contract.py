"""Whether the data contract can be checked here: the light installation has no Great Expectations."""

from stillhouse.tasks.artifacts.source_digest import version_of

UNCHECKED = "the data contract was not checked, because Great Expectations is not installed"


def find_checker() -> str:
    """Return the version of Great Expectations, or `ABSENT`. The key of the stage `validate` includes it."""
    return version_of("great-expectations")
