"""Read the outputs of a night for the report. The report lists an unreadable output; the night does not fail.

A stage that did not finish has no output, and its record says so. A finished stage may have an output that this host
cannot read now. The status of the night depends on its stages only; the report then lacks that file.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.tracking.tags import PREFIX

T = TypeVar("T")


class ReportInputs:
    """Reads the outputs of a night's stages, and records what could not be read."""

    def __init__(self, context: RunContext, runs: Mapping[str, Run]) -> None:
        """Read outputs of these runs, given by stage name."""
        self._context, self._runs = context, runs
        self.unread: list[str] = []
        """One line for each output that could not be read, with the reason."""

    def json(self, stage: str, file: str) -> dict[str, Any] | None:
        """Read a JSON file of a stage's output. None if the stage did not finish or the file cannot be read."""
        run = self._runs.get(stage)
        if run is None or f"{PREFIX}digest" not in run.data.tags:
            return None
        return self.attempt(f"{file} of stage {stage}", None, lambda: self._load(stage, file))

    def attempt(self, what: str, otherwise: T, read: Callable[[], T]) -> T:
        """Call `read` and return its result. If it fails, record the reason and return `otherwise`."""
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
