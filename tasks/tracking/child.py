"""The MLflow run of one stage: what it records while it works, and what it keeps."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import VOLATILE
from stillhouse.tasks.tracking.connection import page_of
from stillhouse.tasks.tracking.progress import ProgressLog
from stillhouse.tasks.tracking.tags import ARTIFACT, PREFIX

BATCH = 500
"""Maximum number of metrics that MLflow accepts in one call."""


@dataclass
class Child:
    """The MLflow run of one stage."""

    client: MlflowClient
    run_id: str
    epochs: int = 0
    """Number of the last epoch whose metrics were recorded."""
    _unsent: list[Metric] = field(default_factory=list)
    _log: ProgressLog = field(init=False)

    def __post_init__(self) -> None:
        """Start without lines."""
        self._log = ProgressLog(self.client, self.run_id)

    def progress(self, line: str) -> None:
        """Keep one line. Also show it as the tag, unless another line was shown within the last second."""
        if self._log.add(line):
            self._send()

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of one epoch."""
        self.epochs = max(self.epochs, step)
        now = int(time.time() * 1000)
        self._unsent += [Metric(name, value, now, step) for name, value in metrics.items()]

    def conclude(self, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of the result. They are later than those of the last epoch, so MLflow shows them."""
        self.record(self.epochs, metrics)

    def flush(self) -> None:
        """Send all recorded metrics and all lines."""
        self._send()
        self._log.flush()

    def _send(self) -> None:
        for start in range(0, len(self._unsent), BATCH):
            self.client.log_batch(self.run_id, self._unsent[start : start + BATCH])
        self._unsent.clear()

    def say_where(self, folder: Path, tracking_uri: str) -> None:
        """Print the address of the output, and of the Data Docs if there are any.

        Prints nothing if MLflow has no web pages.
        """
        if not tracking_uri.startswith("http"):
            return
        run = self.client.get_run(self.run_id).info
        run_id, docs = run.run_id, f"{ARTIFACT}/{VOLATILE}/index.html"
        output = page_of(tracking_uri, run.experiment_id, run_id, ARTIFACT)
        print(f"output: {output}", flush=True)  # noqa: T201 - becomes a line of the Airflow log
        if (folder / VOLATILE).is_dir():
            page = page_of(tracking_uri, run.experiment_id, run_id, docs)
            print(f"Data Docs: {page}", flush=True)  # noqa: T201 - likewise

    def tag(self, name: str, value: str) -> None:
        """Set one of our own tags."""
        self.client.set_tag(self.run_id, PREFIX + name, value)

    def keep(self, folder: Path) -> None:
        """Upload a finished stage's output."""
        self.client.log_artifacts(self.run_id, str(folder), ARTIFACT)
