"""What the report reads of a night's outputs: what cannot be read is told in the report, and breaks no night.

A stage that did not finish has no output, and says so itself. One that did may have an output that this host cannot
get now: the night is what its stages say, and the report is poorer by that file.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.tracking.runs import PREFIX

T = TypeVar("T")


class ReportInputs:
    """Reads the outputs of a night's stages, and keeps what it could not read."""

    def __init__(self, context: RunContext, runs: Mapping[str, Run]) -> None:
        """Read outputs of these runs of stages, by stage."""
        self._context, self._runs = context, runs
        self.unread: list[str] = []
        """A line for each thing that could not be read, with the reason."""

    def json(self, stage: str, file: str) -> dict[str, Any] | None:
        """Read a JSON file of a stage's output; None where the stage did not finish or it cannot be read."""
        run = self._runs.get(stage)
        if run is None or f"{PREFIX}digest" not in run.data.tags:
            return None
        return self.attempt(f"{file} of stage {stage}", None, lambda: self._load(stage, file))

    def attempt(self, what: str, otherwise: T, read: Callable[[], T]) -> T:
        """Read something, or note why not and give something else."""
        try:
            return read()
        except (StillhouseError, MlflowException, OSError, ValueError, KeyError) as error:
            line = f"{what} could not be read: {' '.join(str(error).split())[:300]}"
            if line not in self.unread:
                self.unread.append(line)
            return otherwise

    def _load(self, stage: str, file: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((output_of(self._context, stage).path / file).read_text(encoding="utf-8"))
        return content
