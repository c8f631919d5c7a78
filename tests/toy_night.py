"""A whole night of a model that only an installed package knows, in a process of its own: run with its Python.

`python tests/toy_night.py ROOT` makes a house in ROOT, runs every stage, promotes, serves and rebuilds the version. It
prints what came of it as JSON.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from data_samples import REPOSITORY, commit_house, git
from stillhouse_toy.data import write_diabetes

from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.provenance.reproduce import reproduce
from stillhouse.tasks.recipe.folders import find_recipe
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.load_generator import Exported, serving
from stillhouse.tasks.serving.open_version import open_served
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.connection import connect

RECIPE, KEY = "diabetes_progression", "tests/toy"


def make_house(root: Path) -> None:
    """Make a repository whose data.dvc pins the toy's data."""
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    (root / ".gitignore").write_text("/data\n/.stillhouse/\n/runs\n", encoding="utf-8")
    git(root, "init", "--quiet")
    write_diabetes(root / "data" / "diabetes")
    commit_house(load_settings(), "diabetes")


def run_night() -> dict[str, Any]:
    """Run every stage; gives what each said."""
    path = find_recipe(load_settings().root / "dags" / "recipes", RECIPE)
    return {stage.name: run_stage(path, stage.name, KEY) for stage in stages_of(load_recipe(path))}


def serve(version: str) -> list[object]:
    """Ask the version over HTTP, also what it cannot read."""
    client = connect(load_settings().tracking_uri)
    served = open_served(client.get_model_version(RECIPE, version))
    bodies = ({"measurements": [[0.0] * 10, [0.1] * 10]}, {"measurements": [[0.0] * 9]}, {"pixels": [[0]]})
    with serving(lambda: build(Exported(served)), [os.sched_getaffinity(0)]) as address:
        answers = [requests.post(address, json=body, timeout=30) for body in bodies]
    return [[answer.status_code, answer.json()] for answer in answers]


def main() -> None:
    """Print what came of it."""
    root = Path(sys.argv[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_ROOT", str(root))
        patch.setenv("STILLHOUSE_RECIPES", str(REPOSITORY / "tests" / "toy" / "recipes"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        patch.chdir(root)
        make_house(root)
        told = run_night()
        version = str(told["register"].get("version", told["register"]))
        found = {"told": told, "served": serve(version)}
        rebuilt = reproduce(RECIPE, version, lambda line: sys.stderr.write(f"{line}\n"))
        sys.stdout.write(json.dumps(found | {"rebuilt": rebuilt.equal, "lines": rebuilt.lines}))


if __name__ == "__main__":
    os.environ.pop("STILLHOUSE_STATE", None)
    main()
