"""Send the chosen student out to a target. A result is not lost if the target cannot take it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.targets.convert import convert_to
from stillhouse.tasks.targets.judged import Converted
from stillhouse.tasks.targets.source import Source
from stillhouse.tasks.targets.targets import ONNX_RUNTIME, target_of


@dataclass(frozen=True)
class SentOut:
    """What became of a student in a target."""

    target: str
    sentence: str
    """The measurements, or why the student is not there."""
    converted: Converted | None


def send_out(target: str, source: Source, data: Path, folder: Path, progress: Callable[[str], None]) -> SentOut | None:
    """Write the chosen student for a target into `folder/<target>` and judge it there.

    Returns:
        What became of it. None for ONNX Runtime, where each rung was judged already.
    """
    if target == ONNX_RUNTIME:
        return None
    try:
        found = convert_to(target_of(target), source, data, folder / target, load_settings(), progress)
    except StillhouseError as error:
        return SentOut(target, f"it did not go out to {target_of(target).words}: {error}", None)
    return SentOut(target, found.sentence, found)
