"""What the workloads of a user's own text model share in training: the teacher is read, never trained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.tokens import TOKENIZER
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.training_base import (
    Built,
    DistillationOptions,
    Network,
    TeacherOptions,
    TeacherTraining,
)


class ReadTeacher:
    """One component, which ships with its tokenizer. What would train a teacher is refused."""

    components = (ALONE,)
    untrained: str
    """Why no teacher is trained, and what to do."""

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Check nothing more: the recipe was checked against the registry when it was read."""

    def architectures(self, _data: Path, _networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Refuse: a teacher is read from a folder.

        Raises:
            ModelError: always.
        """
        raise ModelError(self.untrained)

    def teacher_training(self, _data: Path, _built: Built, _options: TeacherOptions, _seed: int) -> TeacherTraining:
        """Refuse, as `architectures` does.

        Raises:
            ModelError: always.
        """
        raise ModelError(self.untrained)

    def scorer(self, _data: Path, _split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Refuse, as `architectures` does.

        Raises:
            ModelError: always.
        """
        raise ModelError(self.untrained)

    def files(self, _name: str, teacher: Path) -> list[Path]:
        """Return the tokenizer."""
        return [teacher / ALONE / TOKENIZER]
