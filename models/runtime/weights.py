"""Where the files of an ONNX model lie. A model of more than 2 GB has its weights in a second file."""

from collections.abc import Sequence
from pathlib import Path

WEIGHTS = ".data"
"""Ending of the second file."""


def weights_of(path: Path) -> Path:
    """Return the path of a file's weights, if it has them beside it."""
    return path.with_name(path.name + WEIGHTS)


def files_of(path: Path) -> list[Path]:
    """List a file and, if there is one, the file of its weights."""
    return [path, *filter(Path.is_file, [weights_of(path)])]


def total_bytes(paths: Sequence[Path]) -> int:
    """Count the bytes of files with their weights."""
    return sum(each.stat().st_size for path in paths for each in files_of(path))
