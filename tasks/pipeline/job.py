"""The arguments of a stage function: its part of the recipe, the folders that it reads, the folder that it fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Metrics = dict[str, float]
END = "end_"
"""Beginning of the names of a join's inputs: each is the last stage of a component."""


@dataclass(frozen=True)
class Meeting:
    """How the further hosts of a training find the first one."""

    server: str
    """Address of a server that all hosts reach."""
    announce: Callable[[str], None]
    """Shows the further hosts where the first one waits for them."""


@dataclass(frozen=True)
class Job:
    """The work of one stage, without its tracking."""

    settings: Mapping[str, Any]
    """The part of the recipe that the stage declares."""
    inputs: Mapping[str, Path]
    """Name of an input -> folder of the earlier stage's artifact."""
    out: Path
    """An empty folder. The files that the stage leaves in it become the artifact."""
    scratch: Path
    """Folder for checkpoints and caches. It survives a kill of the process."""
    shared: Path
    """Cache of results that are computed once for all stages and runs.

    The name of each result identifies its content.
    """
    progress: Callable[[str], None]
    """Shows one progress line."""
    record: Callable[[int, Mapping[str, float]], None]
    """Records the metrics of one epoch."""
    outside: Mapping[str, str] = field(default_factory=dict)
    """Facts from outside the run that the stage's key includes; see outside.py.

    The stage reads such facts only from here.
    """
    meeting: Meeting | None = None
    """None: no further host takes part, so a training for several hosts has all its processes on this one."""


StageFunction = Callable[[Job], Metrics]
