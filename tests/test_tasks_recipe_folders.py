"""Folders of recipes: the project's and those of STILLHOUSE_RECIPES; one at fault takes no recipe away."""

import os
from pathlib import Path

import pytest
from bad_recipes import SEED

from stillhouse.dags.every_recipe import dags_of_recipes
from stillhouse.tasks.errors import RecipeError
from stillhouse.tasks.recipe.folders import VARIABLE, faults, find_recipe, recipe_files
from stillhouse.tasks.recipe.recipe import load_recipe


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, with one recipe, and two folders beside it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    for folder, names in {"shipped": ["seed_digits"], "mine": ["own"], "theirs": ["own", "seed_digits"]}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            text = SEED.replace("name: seed_digits", f"name: {name}")
            (tmp_path / folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "shipped"


def test_further_folders_add_their_recipes(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe is found by its name wherever it lies."""
    assert [path.stem for path in recipe_files(shipped)] == ["seed_digits"]
    monkeypatch.setenv(VARIABLE, str(shipped.parent / "mine"))
    assert [path.stem for path in recipe_files(shipped)] == ["seed_digits", "own"]
    assert load_recipe(find_recipe(shipped, "own")).name == "own"
    assert faults(shipped) == []


@pytest.mark.parametrize(
    ("folders", "name", "sentence"),
    [
        (["gone"], "seed_digits", r"STILLHOUSE_RECIPES names .*/gone, which is no folder; give absolute paths"),
        (["./mine"], "seed_digits", r"STILLHOUSE_RECIPES names mine, which is no absolute path; give absolute paths"),
        (["shipped/seed_digits.yaml"], "seed_digits", r"seed_digits.yaml, which is no folder"),
        (["mine", "theirs"], "own", r"recipe .*/theirs/own.yaml has the name of .*/mine/own.yaml; give one of them"),
        (["theirs"], "seed_digits", r"recipe .*/theirs/seed_digits.yaml has the name of .*/shipped/seed_digits.yaml"),
    ],
)
def test_a_fault_of_the_folders_is_named(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str], name: str, sentence: str
) -> None:
    """A folder that is none, and a second recipe of one name, end in a sentence."""
    named = [folder[2:] if folder.startswith("./") else str(shipped.parent / folder) for folder in folders]
    monkeypatch.setenv(VARIABLE, os.pathsep.join(named))
    with pytest.raises(RecipeError, match=sentence):
        find_recipe(shipped, name)


def test_a_fault_of_the_folders_is_a_dag_and_the_others_stay(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow shows what is wrong beside the DAGs of all recipes that can be read."""
    from airflow.sdk import DAG

    monkeypatch.setenv(VARIABLE, f"{shipped.parent / 'mine'}{os.pathsep}/gone")
    found = dags_of_recipes("nightly", shipped, lambda path: DAG(f"nightly_{load_recipe(path).name}", schedule=None))
    assert sorted(found) == ["nightly_gone", "nightly_own", "nightly_seed_digits"]
    assert "which is no folder" in str(found["nightly_gone"].doc_md)
