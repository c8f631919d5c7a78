"""What a user wants to import, and what an import made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Shape = tuple[int, int, int]
"""Channels, height and width of a picture."""
Task = Literal[
    "image-classification", "text-embedding", "text-classification", "audio-classification", "text-recognition"
]
LINES = "text-recognition"
"""The task whose rows are pictures of lines, each with its text."""
LINE_HEIGHT = 48
"""Height of lines in pixels, unless a model takes another."""


@dataclass(frozen=True)
class Wanted:
    """The dataset that a user wants."""

    name: str
    source: Path | str
    """A folder, a file or `s3://BUCKET/PREFIX`."""
    shape: Shape
    """Of the pictures in the dataset. Texts and recordings do not use it. A width of 0: the lines decide."""
    licence: str
    """The licence of the data, in a line."""
    task: Task | None = None
    """What the data is for. None: the source decides."""
    text_column: str | None = None
    """Column of the texts in a table. None: the columns decide."""
    label_column: str | None = None
    """Column of the labels in a table. None: the columns decide."""
    seconds: float | None = None
    """Length of the recordings in the dataset. None: the recordings decide."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of a model's outputs. Empty: the source decides, or their names do."""
    letters: str = ""
    """Characters that the text of a line may have. Empty: any. Only the task `text-recognition` has lines."""


@dataclass(frozen=True)
class Imported:
    """What an import made."""

    counts: dict[str, int]
    """Split -> number of its rows."""
    labels: tuple[str, ...]
    """Empty without labels."""
    rejected: int
    report: Path
    """CSV file: each row that was left out, and why."""
    digest: str
    """SHA-256 of the dataset's dataset.json."""
    read_as: str
    """How the source was read, in a line."""
