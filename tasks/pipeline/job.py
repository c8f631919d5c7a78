"""What a stage function is given: its slice of the recipe, the folders it reads, the folder it fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Metrics = dict[str, float]


@dataclass(frozen=True)
class Job:
    """One stage's work, told apart from how it is tracked."""

    settings: Mapping[str, Any]
    """The slice of the recipe that the stage declared."""
    inputs: Mapping[str, Path]
    """Role -> folder of an earlier stage's artifact."""
    out: Path
    """An empty folder; what is left in it becomes the artifact."""
    scratch: Path
    """Survives a kill: checkpoints and caches."""
    shared: Path
    """Kept between stages and runs, for what is worth computing once; whoever writes here names it by its content."""
    progress: Callable[[str], None]
    """Shows one line to whoever is waiting."""
    record: Callable[[int, Mapping[str, float]], None]
    """Keeps the numbers of one epoch."""
    outside: Mapping[str, str] = field(default_factory=dict)
    """Facts from outside the run that the stage's key counts, see outside.py; the stage reads them here only."""


StageFunction = Callable[[Job], Metrics]
