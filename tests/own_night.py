"""What a user does with an own folder of pictures and an own package, in an interpreter that has the package.

Run as `python own_night.py ROOT PHOTOS RECIPES`. It prints the findings of the check and the night's metrics as JSON.
"""

import json
import sys
from pathlib import Path

import pytest
from data_samples import make_house, quiet

from stillhouse.tasks.data.importing.import_folder import import_folder
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.rehearsal.check import check_recipe


def main() -> None:
    root, photos, recipes = map(Path, sys.argv[1:])
    with pytest.MonkeyPatch.context() as patch:
        settings = make_house(root, patch)
        patch.chdir(root)  # MLflow puts artifacts of a database into the current folder
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        import_folder(settings, Wanted("photos", photos, (1, 8, 8), "CC0"), quiet)
        recipe = recipes / "mine_tiny.yaml"
        found = [[each.check, each.fault] for each in check_recipe(recipe, quiet)]
        told = {stage.name: run_stage(recipe, stage.name, "own/night") for stage in stages_of(load_recipe(recipe))}
    sys.stdout.write(json.dumps({"check": found, "told": told}))


if __name__ == "__main__":
    main()
