"""A name for a user's model that a recipe can have."""

import re
from pathlib import Path

LONGEST = 50


def name_of(model: Path) -> str:
    """Make a name of small letters, digits and underscores from the name of a file or folder."""
    ending = model.suffix if model.is_file() else ""
    words = re.sub(r"[^a-z0-9]+", "_", model.resolve().name.removesuffix(ending).lower())
    name = words.strip("_")[:LONGEST].rstrip("_")
    return name if re.match(r"[a-z]", name) else f"model_{name}".rstrip("_")[:LONGEST]
