"""The progress lines of a stage. `progress.txt` of its MLflow run keeps every line; a tag shows the newest line.

The tag is updated at most once a second, because it only shows a waiting person where the stage is. The text keeps all
lines: a line may be the only place that gives the reason for a decision.
"""

import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

FILE = "progress.txt"
TAG = "stillhouse.progress"
SECONDS_BETWEEN_TAGS = 1.0
SECONDS_BETWEEN_UPLOADS = 30.0


@dataclass
class ProgressLog:
    """The lines of one stage, over all its tries."""

    client: MlflowClient
    run_id: str
    _lines: list[str] = field(default_factory=list)
    _newest: str | None = None
    """A line that the tag does not show yet."""
    _shown: float = 0.0
    _uploaded: float = field(default_factory=time.monotonic)
    _continued: bool = False
    """Whether the lines of an earlier try come first in `_lines`."""
    _unsaved: bool = False

    def add(self, line: str) -> bool:
        """Print and keep a line.

        Returns whether the line was also sent to MLflow; the caller then sends its metrics too.
        """
        print(line, flush=True)  # noqa: T201 - becomes a line of the Airflow log
        self._lines.append(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {line}")
        self._newest, self._unsaved = line, True
        due = time.monotonic() - self._shown > SECONDS_BETWEEN_TAGS
        if due:
            self._show()
        if time.monotonic() - self._uploaded > SECONDS_BETWEEN_UPLOADS:
            self._upload()
        return due

    def flush(self) -> None:
        """Show the newest line and upload all lines."""
        self._show()
        if self._unsaved:
            self._upload()

    def _show(self) -> None:
        if self._newest is not None:
            self._shown = time.monotonic()
            self.client.set_tag(self.run_id, TAG, self._newest)
            self._newest = None

    def _upload(self) -> None:
        """Replace `progress.txt`. If the upload fails, the stage continues and the next upload has the lines."""
        self._uploaded = time.monotonic()
        try:
            self._continue()
            self.client.log_text(self.run_id, "\n".join(self._lines) + "\n", FILE)
            self._unsaved = False
        except (MlflowException, OSError) as error:
            print(f"{FILE} was not uploaded ({' '.join(str(error).split())[:200]})", flush=True)  # noqa: T201 - as above

    def _continue(self) -> None:
        """Put the lines of an earlier try of the stage first."""
        if self._continued:
            return
        if any(found.path == FILE for found in self.client.list_artifacts(self.run_id)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(self.client.download_artifacts(self.run_id, FILE, folder))
                self._lines[:0] = path.read_text(encoding="utf-8").splitlines()
        self._continued = True
