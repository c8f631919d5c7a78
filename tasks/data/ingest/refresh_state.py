"""Whether the refresh of a dataset is stopped, and what people were told of it: each reason once, until it goes on.

The note is a file of the state folder. It is written after the message was sent, so a kill in between sends it again.
"""

import json
import re
from pathlib import Path

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.settings import Settings

VARIES = re.compile(r"0x[0-9a-f]+|\d+")
"""What differs from one run to the next in the same reason: addresses in memory, ports, seconds, process ids."""


def told_of(settings: Settings, dataset: str) -> list[str]:
    """List the reasons that people were told since the refresh stopped; none if it goes."""
    try:
        reasons = json.loads(_note(settings, dataset).read_bytes())
    except (OSError, ValueError):
        return []  # no note, or half of one: the message goes out again
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []


def is_told(settings: Settings, dataset: str, reason: str) -> bool:
    """Whether people know that the refresh is stopped for a reason."""
    return _same(reason) in map(_same, told_of(settings, dataset))


def note_told(settings: Settings, dataset: str, reason: str) -> None:
    """Remember that people were told a reason."""
    note = _note(settings, dataset)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_json(note, [*told_of(settings, dataset), reason])


def note_going(settings: Settings, dataset: str) -> None:
    """Forget the reasons: the refresh goes on."""
    _note(settings, dataset).unlink(missing_ok=True)


def _note(settings: Settings, dataset: str) -> Path:
    folder: Path = settings.state / "refresh"
    return folder / f"{dataset}.stopped.json"


def _same(reason: str) -> str:
    return VARIES.sub("#", reason)
