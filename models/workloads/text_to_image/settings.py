"""Settings of the distillation kind `paths`: the student learns where the teacher's solved paths end."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.training_base import DistillationOptions


class PathSettings(BaseModel):
    """Settings of the kind `paths`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    pairs: int = Field(default=20_480, ge=16, le=1_000_000)
    """Number of paths that the teacher solves: a random prompt and noise each."""
    critic_weight: float = Field(default=1.0, ge=0, le=1_000)
    """Weight of the error in the critic's maps. 0: pixels only."""


class OwnOptions(DistillationOptions):
    """Options of a kind with settings of its own."""

    settings: dict[str, Any]


def settings_of(options: OwnOptions) -> PathSettings:
    """Check the settings of a distillation.

    Raises:
        ModelError: a setting is unknown or out of range.
    """
    try:
        return PathSettings.model_validate(options.settings)
    except ValidationError as error:
        fault = error.errors()[0]
        msg = f"distillation.settings.{'.'.join(map(str, fault['loc']))}: {fault['msg']}; mend it in the recipe"
        raise ModelError(msg) from error
