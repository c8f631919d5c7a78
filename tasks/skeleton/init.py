"""Write the package: fill each template with what the dataset says."""

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from stillhouse.tasks.data.format.layout import is_array, is_clip, is_spoken, is_text, is_transcribed
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.section import NAME

TEMPLATES = Path(__file__).resolve().parent / "templates"
WHOLE = {"purpose": "A whole night.", "stem": 32, "wide": "32, 64", "teacher_epochs": 16, "student_epochs": 32}
TINY = {
    "purpose": "A minute, to try a change.",
    "stem": 16,
    "wide": "16, 32",
    "teacher_epochs": 4,
    "student_epochs": 6,
}
JUDGED = {"quality": 0.97, "smaller": 4, "faster": 1, "repeats": 9, "pause": 1.0}
QUICKLY = {"quality": 0.7, "smaller": 2, "faster": 0.3, "repeats": 3, "pause": 0.0}
"""Limits of the gate and timing: of a night, and of a try, whose small teacher is fast already."""


def write_skeleton(name: str, described: Mapping[str, Any], into: Path) -> list[Path]:
    """Write a package with a network of a user's own. Returns the files.

    Args:
        name: name of the package, the recipe and the model.
        described: dataset.json of the pictures.
        into: folder in which the package's folder is made.

    Raises:
        StillhouseError: the name is taken or no name, or the dataset has no labelled pictures.
    """
    if not re.fullmatch(NAME, name):
        msg = f"{name} is no name for a recipe; choose small letters, digits and underscores, beginning with a letter"
        raise StillhouseError(msg)
    others = any(is_other(described) for is_other in (is_text, is_spoken, is_transcribed, is_clip, is_array))
    if others or "captions" in described:
        msg = f"{described['name']} is no dataset of labelled pictures; name one, such as your own by `data import`"
        raise StillhouseError(msg)
    folder = (into / name).absolute()
    if folder.exists():
        msg = f"{folder} is there already; name another package, or move it away"
        raise StillhouseError(msg)
    values = _values(name, described, folder)
    files = {folder / path: _filled(template, each) for path, template, each in _plan(name, values)}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _values(name: str, described: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    channels, height, width = described["image_shape"]
    small = min(height, width) < 16  # noqa: PLR2004 - two halvings leave less than 4 x 4
    return {
        "name": name,
        "package": f"my_{name}",
        "student": f"{name}_student",
        "dataset": described["name"],
        "folder": folder,
        "channels": channels,
        "height": height,
        "width": width,
        "classes": len(described["labels"]),
        "narrow": "8, 16" if small else "16, 32, 32",
        "batch": 64,
        "augment": "false",
    }


def _plan(name: str, values: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, template and values of each file."""
    package = values["package"]
    return [
        ("pyproject.toml", "pyproject.toml", values),
        ("README.md", "README.md", values),
        (f"{package}/__init__.py", "init.py", values),
        (f"{package}/network.py", "network.py", values),
        (f"recipes/{name}.yaml", "recipe.yaml", values | WHOLE | JUDGED | {"recipe": name}),
        (f"recipes/{name}_tiny.yaml", "recipe.yaml", values | TINY | QUICKLY | {"recipe": f"{name}_tiny"}),
        ("tests/test_network.py", "test_network.py", values),
    ]


def _filled(template: str, values: Mapping[str, Any]) -> str:
    return Template((TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)
