"""The section of a recipe that says which versioned data a run uses."""

from typing import Annotated

from pydantic import Field

from stillhouse.tasks.recipe_section import Name, Section

DATA_REVISION = r"^[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,99}$"
"""A git revision: it cannot start with a dash, so it is never read as an option."""


class Data(Section):
    """Which versioned data the run uses."""

    dataset: Name
    revision: Annotated[str, Field(pattern=DATA_REVISION)] | None = None
    """Any git revision whose `data.dvc` is used; the deployed one when absent."""
