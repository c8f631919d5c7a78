"""Settings of the distillation kind `frames`: the student learns the teacher's letters in each frame."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.training_base import DistillationOptions


class FrameSettings(BaseModel):
    """Settings of the kind `frames`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    temperature: float = Field(default=1.0, ge=0.1, le=20)
    hard_weight: float = Field(default=0.0, ge=0, le=1)
    """Share of the loss on the texts. 0 needs no texts."""


class OwnOptions(DistillationOptions):
    """Options of a kind with settings of its own."""

    settings: dict[str, Any]


def settings_of(options: OwnOptions) -> FrameSettings:
    """Check the settings of a distillation.

    Raises:
        ModelError: a setting is unknown or out of range.
    """
    try:
        return FrameSettings.model_validate(options.settings)
    except ValidationError as error:
        fault = error.errors()[0]
        msg = f"distillation.settings.{'.'.join(map(str, fault['loc']))}: {fault['msg']}; mend it in the recipe"
        raise ModelError(msg) from error
