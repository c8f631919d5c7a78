"""Remember whether the ingestion of a dataset is stopped, and which reasons people were told.

Each reason is told once until the ingestion works again. The record is a file in the state folder. It is written after
the message was sent, so after a kill in between, the message is sent again.
"""

import json
import re
from pathlib import Path

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.settings import Settings

VARIES = re.compile(r"0x[0-9a-f]+|\d+")
"""Parts that differ between runs for the same reason: memory addresses, ports, seconds, process ids."""


def list_told(settings: Settings, dataset: str) -> list[str]:
    """List the reasons that people were told since the ingestion stopped; empty if the ingestion works."""
    try:
        reasons = json.loads(_note(settings, dataset).read_bytes())
    except (OSError, ValueError):
        return []  # The file is missing or incomplete: the message is sent again
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []


def is_told(settings: Settings, dataset: str, reason: str) -> bool:
    """Tell whether people already know this reason."""
    return _same(reason) in map(_same, list_told(settings, dataset))


def note_told(settings: Settings, dataset: str, reason: str) -> None:
    """Record that people were told a reason."""
    note = _note(settings, dataset)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_json(note, [*list_told(settings, dataset), reason])


def note_going(settings: Settings, dataset: str) -> None:
    """Forget the reasons, because the ingestion works again."""
    _note(settings, dataset).unlink(missing_ok=True)


def _note(settings: Settings, dataset: str) -> Path:
    folder: Path = settings.state / "ingest"
    return folder / f"{dataset}.stopped.json"


def _same(reason: str) -> str:
    return VARIES.sub("#", reason)
