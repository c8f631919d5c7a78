"""Settings of the distillation kind `paths`: the student learns where the teacher's solved paths end."""

from pydantic import BaseModel, ConfigDict, Field

from stillhouse.models.workloads.own_settings import OwnOptions, read_settings


class PathSettings(BaseModel):
    """Settings of the kind `paths`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    pairs: int = Field(default=20_480, ge=16, le=1_000_000)
    """Number of paths that the teacher solves: a random prompt and noise each."""
    critic_weight: float = Field(default=1.0, ge=0, le=1_000)
    """Weight of the error in the critic's maps. 0: pixels only."""
    gap_weight: float = Field(default=0.0, ge=0, le=1_000)
    """Weight of the distance between all pictures and real ones, in the critic's features. 0: none."""


def settings_of(options: OwnOptions) -> PathSettings:
    """Check the settings of a distillation.

    Raises:
        ModelError: a setting is unknown or out of range.
    """
    return read_settings(PathSettings, options)
