"""The base of all recipe sections: strictness and number types. Also the section `data`.

This module is light on purpose: DAG files read recipes while Airflow parses them.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

NAME = r"^[a-z][a-z0-9_]{0,49}$"
Name = Annotated[str, Field(pattern=NAME)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Share = Annotated[float, Field(gt=0, lt=1)]
Line = Annotated[str, Field(min_length=1, max_length=1000)]
AsList = Strict(strict=False)
"""YAML has lists; a frozen section has tuples. The items stay strict."""


class Section(BaseModel):
    """A part of a recipe. Unknown keys are refused, types must match exactly, and a loaded section cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


DATA_REVISION = r"^[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,99}$"
"""A git revision. It cannot start with a dash, so git never reads it as an option."""


class Data(Section):
    """The versioned data that the run uses."""

    dataset: Name
    """Name of the dataset."""
    revision: Annotated[str, Field(pattern=DATA_REVISION)] | None = None
    """Any git revision; the `data.dvc` of that revision is used. If absent, the deployed revision is used."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the dataset.json of data that is in this host's cache and not in DVC."""
    languages: Annotated[tuple[Line, ...], AsList, Field(min_length=1, max_length=100)] | None = None
    """Languages whose recordings are used. If absent, all of the dataset."""

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if self.revision is not None and self.sha256 is not None:
            msg = "revision names data in DVC, and sha256 names data on this host; give one of the two"
            raise ValueError(msg)
        if self.languages is not None and self.sha256 is not None:
            msg = "languages chooses from data in DVC, and sha256 names data on this host; give one of the two"
            raise ValueError(msg)
        return self
