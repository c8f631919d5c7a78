"""Put the result of a climb into a deployment: the data gets a DVC version, the recipe a place and a schedule."""

import re
from pathlib import Path

import yaml

from stillhouse.models.aside import write_aside
from stillhouse.tasks.data.format.dataset import fault_of
from stillhouse.tasks.data.importing.import_folder import pin
from stillhouse.tasks.data.importing.make import Progress
from stillhouse.tasks.data.store.build_data import writing
from stillhouse.tasks.errors import DataError, StillhouseError
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe, parse_recipe
from stillhouse.tasks.settings import Settings

SCHEDULE = re.compile(r"^schedule:.*$", re.MULTILINE)


def schedule(settings: Settings, recipe_path: Path, cron: str, progress: Progress) -> Path:
    """Pin the data of a recipe and copy the recipe to the deployment, with a schedule. The recipe is written last.

    Args:
        settings: the deployment.
        recipe_path: a recipe that `stillhouse compress` wrote.
        cron: when the recipe runs, in UTC.
        progress: shows one line.

    Returns:
        Path of the deployed recipe.

    Raises:
        RecipeError: the recipe or the cron expression cannot be used.
        DataError: this host's copy of the data is missing or altered.
        StillhouseError: the deployment has another recipe of this name.
    """
    recipe, target = load_recipe(recipe_path), settings.root / "dags" / "recipes" / recipe_path.name
    text = _scheduled(recipe_path.read_text(encoding="utf-8"), recipe, cron)
    deployed = parse_recipe(text, str(target))
    if (deployed.schedule, deployed.data.sha256) != (cron, None):
        msg = f"{recipe_path} has its schedule or data.sha256 on a line with other keys; give each a line of its own"
        raise StillhouseError(msg)
    if target.exists() and target.read_text(encoding="utf-8") != text:
        msg = f"{target} is another recipe; remove it, or compress under another --name"
        raise StillhouseError(msg)
    _pin_data(settings, recipe, progress)
    if not target.exists():  # a file that is as it was need not be read again by Airflow
        with write_aside(target) as aside:
            aside.write_text(text, encoding="utf-8")
    return target


def _scheduled(text: str, recipe: Recipe, cron: str) -> str:
    """Change the two lines that differ in a deployment. Comments and all other keys stay as they are."""
    line = yaml.safe_dump({"schedule": cron}).strip()
    local = re.compile(rf"^ +sha256: ['\"]?{recipe.data.sha256}['\"]?\n", re.MULTILINE)
    return SCHEDULE.sub(line, local.sub("", text))


def _pin_data(settings: Settings, recipe: Recipe, progress: Progress) -> None:
    if recipe.data.sha256 is None:
        return
    folder = settings.data_cache / recipe.data.sha256
    if fault := fault_of(folder, recipe.data.sha256):
        msg = f"this host's copy of {recipe.data.dataset} cannot be used ({fault}); run `stillhouse compress` again"
        raise DataError(msg)
    with writing(settings):
        pin(settings, recipe.data.dataset, folder, progress)
