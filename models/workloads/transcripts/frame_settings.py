"""Settings of the distillation kind `frames`: the student learns the teacher's letters in each frame."""

from pydantic import BaseModel, ConfigDict, Field

from stillhouse.models.workloads.own_settings import OwnOptions, read_settings


class FrameSettings(BaseModel):
    """Settings of the kind `frames`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    temperature: float = Field(default=1.0, ge=0.1, le=20)
    hard_weight: float = Field(default=0.0, ge=0, le=1)
    """Share of the loss on the texts. 0 needs no texts."""


def settings_of(options: OwnOptions) -> FrameSettings:
    """Check the settings of a distillation.

    Raises:
        ModelError: a setting is unknown or out of range.
    """
    return read_settings(FrameSettings, options)
