"""Where recipes are: in the project's folder, and in every folder that `STILLHOUSE_RECIPES` names.

This module is light on purpose: DAG files call it while Airflow parses them. A wrong folder hides no other recipe.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from stillhouse.tasks.errors import RecipeError

VARIABLE = "STILLHOUSE_RECIPES"
REMEDY = f"give absolute paths of folders, with {os.pathsep} between them"


def recipe_files(shipped: Path) -> list[Path]:
    """List the recipe files of all folders. If two files have the same name, the first one counts.

    Files that begin with a dot are left out, because macOS leaves a `._x.yaml` beside `x.yaml`.

    Args:
        shipped: the project's own folder of recipes, which comes first.
    """
    found: dict[str, Path] = {}
    for path in _all_files(shipped):
        found.setdefault(path.stem, path)
    return list(found.values())


def find_recipe(shipped: Path, name: str) -> Path:
    """Find the file of a recipe. If there is none, return the path that it would have in the project's folder.

    Raises:
        RecipeError: `STILLHOUSE_RECIPES` names a path that is no folder, or a second recipe has this name.
    """
    for path, reason in faults(shipped):
        if path.stem == name or path.suffix != ".yaml":
            raise RecipeError(reason)
    found = {path.stem: path for path in recipe_files(shipped)}
    return found.get(name, shipped / f"{name}.yaml")


def faults(shipped: Path) -> list[tuple[Path, str]]:
    """List the problems of the folders: a path, and a sentence that names the problem and the repair."""
    wrong = [folder for folder in _further() if not (folder.is_absolute() and folder.is_dir())]
    folders = [(folder, f"{VARIABLE} names {folder}, which is {_what(folder)}; {REMEDY}") for folder in wrong]
    first = {path.stem: path for path in recipe_files(shipped)}
    twins = [
        (path, f"recipe {path} has the name of {first[path.stem]}; give one of them another name")
        for path in _all_files(shipped)
        if path != first[path.stem]
    ]
    return folders + twins


def _what(folder: Path) -> str:
    return "no folder" if folder.is_absolute() else "no absolute path"


def _further() -> list[Path]:
    return [Path(folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]


def _all_files(shipped: Path) -> Iterator[Path]:
    for folder in (shipped, *(folder for folder in _further() if folder.is_absolute())):
        yield from sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))
