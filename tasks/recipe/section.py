"""What the sections of a recipe share: how strict they are, and the numbers that they take; and the section of data.

Light on purpose, like all that reads recipes: DAG files read them while they are parsed.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

NAME = r"^[a-z][a-z0-9_]{0,49}$"
Name = Annotated[str, Field(pattern=NAME)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Share = Annotated[float, Field(gt=0, lt=1)]
Line = Annotated[str, Field(min_length=1, max_length=1000)]
AsList = Strict(strict=False)
"""YAML has lists where a frozen section has tuples; what is in them stays strict."""


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused, types are exact, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


DATA_REVISION = r"^[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,99}$"
"""A git revision: it cannot start with a dash, so it is never read as an option."""


class Data(Section):
    """Which versioned data the run uses."""

    dataset: Name
    revision: Annotated[str, Field(pattern=DATA_REVISION)] | None = None
    """Any git revision whose `data.dvc` is used; the deployed one when absent."""
