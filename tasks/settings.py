"""Where things are and which servers to use, read from the environment once per call, after it is checked.

Nothing here is secret: credentials stay in the environment, for the libraries that need them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.artifacts.deployment_folders import expect_folders
from stillhouse.tasks.environment import adopt


@dataclass(frozen=True)
class Settings:
    """The folders and addresses of one deployment."""

    root: Path
    """The checkout: recipes, data.dvc and the .dvc configuration."""
    state: Path
    """Everything made by running: servers' databases, caches, the embedded remote."""
    runs: Path
    """One folder per nightly run, with its report; `latest` points at the newest."""
    tracking_uri: str
    """Empty while no MLflow is known."""

    @property
    def artifacts(self) -> Path:
        """Finished stage outputs on this host, by stage key."""
        return self.state / "artifacts"

    @property
    def data_cache(self) -> Path:
        """Materialised data on this host, by dataset digest."""
        return self.state / "data"


def load_settings() -> Settings:
    """Read `STILLHOUSE_ROOT`, `STILLHOUSE_STATE`, `STILLHOUSE_RUNS` and `MLFLOW_TRACKING_URI`.

    Raises:
        StillhouseError: a variable or a folder is such that no work can be done with it; names it and the remedy.
    """
    adopt(os.environ)
    root = Path(os.environ.get("STILLHOUSE_ROOT", _find_root()))
    state = Path(os.environ.get("STILLHOUSE_STATE", root / ".stillhouse"))
    runs = Path(os.environ.get("STILLHOUSE_RUNS", root / "runs"))
    expect_folders({"STILLHOUSE_ROOT": root, "STILLHOUSE_STATE": state, "STILLHOUSE_RUNS": runs}, state)
    return Settings(root, state, runs, os.environ.get("MLFLOW_TRACKING_URI", ""))


def _find_root() -> Path:
    """Return the checkout of this code. Code that pip copied into an environment has none: the current folder."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
