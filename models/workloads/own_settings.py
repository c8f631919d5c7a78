"""Settings of a workload's own kind of distillation, checked by a pydantic model of the workload."""

from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from stillhouse.models.errors import ModelError
from stillhouse.models.training.device import Precision
from stillhouse.models.workloads.training_base import DistillationOptions

Settings = TypeVar("Settings", bound=BaseModel)


class StudentTraining(Protocol):
    """Options of a recipe's training section that a workload reads for a student."""

    @property
    def precision(self) -> Precision:
        """Precision of the multiplications."""


class OwnOptions(DistillationOptions):
    """Options of a kind with settings of its own."""

    settings: dict[str, Any]
    training: StudentTraining


def read_settings(model: type[Settings], options: OwnOptions) -> Settings:
    """Check the settings of a distillation.

    Raises:
        ModelError: a setting is unknown or out of range.
    """
    try:
        return model.model_validate(options.settings)
    except ValidationError as error:
        fault = error.errors()[0]
        msg = f"distillation.settings.{'.'.join(map(str, fault['loc']))}: {fault['msg']}; mend it in the recipe"
        raise ModelError(msg) from error
