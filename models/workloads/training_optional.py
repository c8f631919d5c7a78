"""Optional parts of a workload's training. A workload that needs one has its functions, and others do without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from stillhouse.models.families.adopted import Adopted
from stillhouse.models.inspection.source import Source
from stillhouse.models.workloads.registry import resolve


class Asks(Protocol):
    """A component that asks its teacher in its own way, such as by solving an equation. Others run the teacher once."""

    def question(self, options: Any) -> Callable[[Tensor], Tensor]:  # noqa: ANN401 - of a kind that the component supports
        """Return a function from inputs (N, ...) to the teacher's answers (N, ...). The answers are cached on disk."""


class Judges(Protocol):
    """A workload whose answers are judged by networks, not by labels. Other workloads do without this."""

    def write_judges(self, teacher: Path, folder: Path) -> None:
        """Write the networks that judge, as files that the runtime opens. They do not ship.

        Args:
            teacher: folder of the teacher's components.
            folder: an existing folder for the files.
        """


def judging(workload: str) -> Judges | None:
    """Return a workload whose answers are judged by networks, or None if labels judge them.

    Raises:
        ModelError: there is no such workload.
    """
    face = resolve(workload, "training")
    return face if hasattr(face, "write_judges") else None


class Adopts(Protocol):
    """A workload that reads a user's own model from a folder. Other workloads do without these functions."""

    def adopt(self, source: Source, data: Path) -> Adopted:
        """Read the model of a folder as a component for a dataset, without running code of it.

        Raises:
            ModelError: the workload does not read such a model, or it does not fit the dataset. The message says what
                it reads.
        """

    def quality(self, data: Path, teacher: Path, module: nn.Module) -> float:
        """Measure an adopted model on the split `validation`.

        Args:
            data: the materialised dataset.
            teacher: folder of the teacher's components. The files that ship beside the model are there already.
            module: the adopted model.
        """

    def files(self, name: str, teacher: Path) -> list[Path]:
        """Return the files that ship beside an exported component, given the folder of the teacher's components."""


class FileOptions(Protocol):
    """How a recipe asks a teacher that is only an ONNX file."""

    @property
    def scale(self) -> float:
        """Divisor of the raw numbers."""

    @property
    def offset(self) -> float:
        """Is subtracted from the divided numbers."""

    @property
    def colours(self) -> Literal["RGB", "BGR"]:
        """Order of the colours."""

    @property
    def output(self) -> Literal["logits", "probabilities"]:
        """Kind of the outputs."""


class AdoptsFiles(Protocol):
    """A workload whose teacher may be an ONNX file that does not answer with classes. Others do without this."""

    def adopt_file(self, source: Path, out_path: Path, data: Path, options: FileOptions) -> None:
        """Write a file that takes raw inputs of a dataset and gives what a student learns.

        Raises:
            ModelError: the file does not run, or does not fit the dataset.
        """


def adopting_files(workload: str) -> AdoptsFiles | None:
    """Return a workload that itself adopts a teacher's ONNX file, or None if the file answers with classes.

    Raises:
        ModelError: there is no such workload.
    """
    face = resolve(workload, "training")
    return face if hasattr(face, "adopt_file") else None


def adopting(workload: str) -> Adopts | None:
    """Return a workload that reads a user's own model, or None if it does not.

    Raises:
        ModelError: there is no such workload.
    """
    face = resolve(workload, "training")
    return face if hasattr(face, "adopt") else None
