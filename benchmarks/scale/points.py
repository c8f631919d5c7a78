"""The measured points of docs/scale.md, in docs/scale.json."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "docs" / "scale.json"


def read() -> dict[str, Any]:
    """Read all points."""
    points: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return points


def keep(name: str, points: Any) -> None:  # noqa: ANN401 - what JSON can hold
    """Replace the points of one measurement."""
    FILE.write_text(json.dumps(read() | {name: points}, indent=1) + "\n", encoding="utf-8")
