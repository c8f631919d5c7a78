"""Where recipes are: in the project's folder, and in every folder that `STILLHOUSE_RECIPES` names.

Light on purpose: DAG files ask this while Airflow parses them. A folder at fault takes no recipe away.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from stillhouse.tasks.errors import RecipeError

VARIABLE = "STILLHOUSE_RECIPES"
REMEDY = f"give absolute paths of folders, with {os.pathsep} between them"


def recipe_files(shipped: Path) -> list[Path]:
    """List the recipe files of all folders, by name; of two with one name the first.

    Files that begin with a dot are left out: macOS leaves a `._x.yaml` beside `x.yaml`.

    Args:
        shipped: the project's own folder of recipes, which comes first.
    """
    found: dict[str, Path] = {}
    for path in _all_files(shipped):
        found.setdefault(path.stem, path)
    return list(found.values())


def find_recipe(shipped: Path, name: str) -> Path:
    """Find the file of a recipe; where there is none, the place where it would be.

    Raises:
        RecipeError: `STILLHOUSE_RECIPES` names something that is no folder, or a second recipe of this name.
    """
    for path, reason in faults(shipped):
        if path.stem == name or path.suffix != ".yaml":
            raise RecipeError(reason)
    found = {path.stem: path for path in recipe_files(shipped)}
    return found.get(name, shipped / f"{name}.yaml")


def faults(shipped: Path) -> list[tuple[Path, str]]:
    """List what is wrong with the folders: a path, and a sentence that says what and how to mend it."""
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
