"""Where things are and which servers to use, read from the environment once per call.

Nothing here is secret: credentials stay in the environment, for the libraries that need them.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The folders and addresses of one house."""

    root: Path
    """The checkout: recipes, data.dvc and the .dvc configuration."""
    state: Path
    """Everything made by running: servers' databases, caches, the embedded remote."""
    runs: Path
    """One folder per nightly run, with its report; `latest` points at the newest."""
    tracking_uri: str

    @property
    def artifacts(self) -> Path:
        """Finished stage outputs on this host, by stage key."""
        return self.state / "artifacts"

    @property
    def data_cache(self) -> Path:
        """Materialised data on this host, by dataset digest."""
        return self.state / "data"


def load_settings() -> Settings:
    """Read `STILLHOUSE_ROOT`, `STILLHOUSE_STATE`, `STILLHOUSE_RUNS` and `MLFLOW_TRACKING_URI`."""
    root = Path(os.environ.get("STILLHOUSE_ROOT", Path(__file__).resolve().parent.parent))
    return Settings(
        root=root,
        state=Path(os.environ.get("STILLHOUSE_STATE", root / ".stillhouse")),
        runs=Path(os.environ.get("STILLHOUSE_RUNS", root / "runs")),
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000"),
    )
