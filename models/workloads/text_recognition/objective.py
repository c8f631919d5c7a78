"""What a student of lines learns: the teacher's letters in each frame, and optionally the texts."""

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from stillhouse.models.distillation.frames import ctc_loss, frame_loss
from stillhouse.models.errors import ModelError
from stillhouse.models.training.loop import Batch, Objective
from stillhouse.models.workloads.training_base import DistillationOptions


class FrameSettings(BaseModel):
    """Settings of the kind `frames`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    temperature: float = Field(default=1.0, ge=0.1, le=20)
    hard_weight: float = Field(default=0.1, ge=0, le=1)
    """Share of the loss on the texts."""


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


def line_objective(settings: FrameSettings) -> Objective:
    """Return `hard_weight * L_texts + (1 - hard_weight) * L_frames`, on images_BCHW, letters_BL and teacher_BFV."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        images_BCHW, letters_BL, teacher_BFV = batch
        logits_BFV = model(images_BCHW)
        taught = frame_loss(logits_BFV, at_rate(teacher_BFV, logits_BFV.shape[1]), settings.temperature)
        return (1 - settings.hard_weight) * taught + settings.hard_weight * ctc_loss(logits_BFV, letters_BL)

    return objective


def at_rate(teacher_BFV: Tensor, frames: int) -> Tensor:
    """Return the teacher's answers at another number of frames: those that are nearest in time."""
    count = teacher_BFV.shape[1]
    if count == frames:
        return teacher_BFV
    return teacher_BFV[:, ((torch.arange(frames) + 0.5) * count / frames).long()]
