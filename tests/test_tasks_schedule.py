"""`stillhouse schedule`: a result of `stillhouse compress` becomes a nightly recipe with a data version."""

import io
import shutil
from pathlib import Path

import pytest
import requests
from data_samples import built_digits, digest_of, make_house, quiet

from stillhouse.tasks.data.store.revision import read_pinned
from stillhouse.tasks.errors import DataError, RecipeError, StillhouseError
from stillhouse.tasks.ladder.families.picture_rungs import Pictures, rungs_for_file
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.recipes import Model, write_recipe
from stillhouse.tasks.ladder.schedule import schedule
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.nightly_run import start_first_night
from stillhouse.tasks.local_stack.screen import Screen
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import pull_dataset

ROOT = Path(__file__).resolve().parent.parent
GOALS = Goals(0.9, 4.0, 2.0, 20.0)
TEACHER = "ab" * 32
"""A digest that YAML needs not quote, as most are."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment whose cache holds the digits under the name of a user's data."""
    found = make_house(tmp_path / "house", monkeypatch)
    (found.root / "dags" / "recipes").mkdir(parents=True, exist_ok=True)
    shutil.copytree(built_digits(), found.data_cache / digest_of(built_digits()))
    return found


def recipe_in(folder: Path, epochs: int = 3) -> Path:
    """Write what `compress` leaves for a file of pictures."""
    data = {"dataset": "digits", "sha256": digest_of(built_digits())}
    model = Model("mine", "image_classification", {"onnx": "/mine.onnx", "sha256": TEACHER}, data)
    return write_recipe(folder, model, rungs_for_file(Pictures(1, 8, 10, 900))[-1], epochs, GOALS, ("Made by hand.",))


def test_the_recipe_gets_a_schedule_and_its_data_a_version(settings: Settings, tmp_path: Path) -> None:
    """The deployed recipe differs in two lines, and its data comes back from the remote."""
    path = recipe_in(tmp_path / "result")
    target = schedule(settings, path, "30 2 * * *", quiet)
    before, after = load_recipe(path), load_recipe(target)
    assert target == settings.root / "dags" / "recipes" / "mine.yaml"
    assert (after.schedule, after.data.sha256) == ("30 2 * * *", None)
    assert after.teacher.sha256 == TEACHER  # type: ignore[union-attr]
    assert after.model_copy(update={"schedule": None, "data": before.data}) == before
    assert target.read_text(encoding="utf-8").startswith("# Made by hand.\n")
    assert "digits" in read_pinned(settings.root, None)
    shutil.rmtree(settings.data_cache)
    assert pull_dataset(settings, after.data).name == digest_of(built_digits())


def test_a_schedule_of_the_user_is_replaced(settings: Settings, tmp_path: Path) -> None:
    """The command says when the recipe runs."""
    path = recipe_in(tmp_path / "result")
    path.write_text(path.read_text().replace("schedule: null", 'schedule: "0 1 * * *"'))
    assert load_recipe(schedule(settings, path, "30 2 * * *", quiet)).schedule == "30 2 * * *"


def test_a_recipe_whose_lines_cannot_be_changed_is_refused(settings: Settings, tmp_path: Path) -> None:
    """A digest that shares its line with other keys would stay, and the night would not find the data."""
    path, digest = recipe_in(tmp_path / "result"), digest_of(built_digits())
    both = f"data: {{dataset: digits, sha256: {digest}}}"
    path.write_text(path.read_text().replace(f"data:\n  dataset: digits\n  sha256: {digest}", both))
    with pytest.raises(StillhouseError, match="give each a line of its own"):
        schedule(settings, path, "30 2 * * *", quiet)
    assert not (settings.root / "dags" / "recipes" / "mine.yaml").exists()


def test_scheduling_again_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    """A command that was interrupted may be given again."""
    path = recipe_in(tmp_path / "result")
    schedule(settings, path, "30 2 * * *", quiet)
    pinned = (settings.root / "data.dvc").read_text()
    schedule(settings, path, "30 2 * * *", quiet)
    assert (settings.root / "data.dvc").read_text() == pinned


def test_another_recipe_of_the_name_is_kept(settings: Settings, tmp_path: Path) -> None:
    """A person decides which of the two stays."""
    target = schedule(settings, recipe_in(tmp_path / "result"), "30 2 * * *", quiet)
    before = target.read_text()
    with pytest.raises(StillhouseError, match="is another recipe; remove it, or compress under another --name"):
        schedule(settings, recipe_in(tmp_path / "other", 4), "30 2 * * *", quiet)
    assert target.read_text() == before


def test_a_schedule_that_never_fires_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Nothing is pinned then."""
    before = (settings.root / "data.dvc").read_text()
    with pytest.raises(RecipeError, match="schedule"):
        schedule(settings, recipe_in(tmp_path / "result"), "at night", quiet)
    assert (settings.root / "data.dvc").read_text() == before


def test_data_that_is_gone_is_named(settings: Settings, tmp_path: Path) -> None:
    """The recipe is not deployed without its data."""
    shutil.rmtree(settings.data_cache)
    with pytest.raises(DataError, match=r"copy of digits cannot be used .*; run `stillhouse compress` again"):
        schedule(settings, recipe_in(tmp_path / "result"), "30 2 * * *", quiet)
    assert not (settings.root / "dags" / "recipes" / "mine.yaml").exists()


@pytest.mark.long
@pytest.mark.serial
def test_the_first_night_begins_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real stack the recipe's DAG gets one run, however often the command is given."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path / "state"))
    house, recipe = Settings(ROOT, tmp_path / "state", tmp_path / "runs", ""), ROOT / "dags/recipes/seed_digits.yaml"
    screen = Screen(io.StringIO())
    assert start_first_night(house, recipe, screen).startswith("no Airflow is up here; `make run RECIPE=seed_digits`")
    try:
        address = stack.start(house, quiet).airflow
        page = f"{address}/dags/nightly_seed_digits/runs/first_night"
        assert start_first_night(house, recipe, screen).startswith(f"the first night has begun: {page} ")
        again = start_first_night(house, recipe, screen)
        assert again == f"nightly_seed_digits has a run already, so none is started: {page}"
        airflow = Airflow(stack.addresses(house))
        assert not airflow.trigger_once("nightly_seed_digits", "first_night")
        assert airflow.unfinished_runs("nightly_seed_digits") == ["first_night"]
        assert requests.get(page, timeout=30).ok
        pulled = next(each for each in airflow.tasks("nightly_seed_digits", "first_night") if each["task_id"] == "pull")
        assert pulled["state"] != "failed"
    finally:
        stack.stop(house, quiet)
