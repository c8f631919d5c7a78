"""Which run made what, of all runs that a night has: a table of what may have happened in between."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.lineage import CODE, CONTENT, DIGEST, KEY, inputs_of, missing, runs_of
from stillhouse.tasks.pipeline.outside import as_tags
from stillhouse.tasks.pipeline.stage_key import stage_key
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.tracking.runs import find_newest_of_each
from stillhouse.tasks.tracking.tags import FINISHED, OPENED, PREFIX, STAGE

RECIPE = load_recipe(Path(__file__).resolve().parent.parent / "dags" / "recipes" / "seed_digits.yaml")
LINEAGE = [stage.name for stage in stages_of(RECIPE) if stage.reusable]
FACTS = {"pull": {"data": "md5"}, "compare_champion": {"champion": "none"}}
AFTER_TEACHER = LINEAGE[LINEAGE.index("teacher") + 1 :]


@dataclass
class Night:
    """The runs of a night's stages, as MLflow lists them: newest first."""

    runs: list[Any]

    def of(self, stage: str) -> Any:
        """Give the newest run of a stage."""
        return next(run for run in self.runs if run.data.tags[STAGE] == stage)

    def again(self, stage: str, status: str = FINISHED, **tags: str) -> None:
        """Add a newer run of a stage, which differs from the one before it in these tags."""
        known = {PREFIX + name.replace("__", "."): value for name, value in tags.items()}
        self.runs.insert(0, a_run(stage, self.of(stage).data.tags | known, len(self.runs), status))


def a_run(stage: str, tags: dict[str, str], number: int, status: str = FINISHED) -> Any:
    info = SimpleNamespace(run_id=f"{stage}-{number}", status=status, start_time=number)
    return SimpleNamespace(info=info, data=SimpleNamespace(tags=tags | {STAGE: stage, OPENED: f"{number:03}"}))


def night_of(recipe: Recipe) -> Night:
    """Give a night in which every stage of a recipe finished once."""
    found: dict[str, Any] = {}
    for number, stage in enumerate(stage for stage in stages_of(recipe) if stage.reusable):
        facts = {PREFIX + name: value for name, value in as_tags(FACTS.get(stage.kind, {})).items()}
        key = stage_key(replace(stage, outside=FACTS.get(stage.kind, {})), inputs_of(stage, found), "code")
        tags = facts | {KEY: key, PREFIX + CODE: "code", DIGEST: f"made by {stage.name}"}
        found[stage.name] = a_run(stage.name, tags | ({CONTENT: "rows"} if stage.kind == "pull" else {}), number)
    return Night([*reversed(found.values())])


def edited(path: str, value: object) -> Recipe:
    content = RECIPE.model_dump()
    place = content
    *way, last = path.split(".")
    for name in way:
        place = place[name]
    place[last] = value
    return Recipe.model_validate(content)


def nothing(_night: Night) -> None:
    """Leave the night as it is."""


def without(stage: str, tag: str) -> Callable[[Night], None]:
    return lambda night: night.of(stage).data.tags.pop(tag) and None


def again(stage: str, status: str = FINISHED, **tags: str) -> Callable[[Night], None]:
    return lambda night: night.again(stage, status, **tags)


@pytest.mark.parametrize(
    ("happened", "recipe", "gone"),
    [
        (nothing, RECIPE, []),
        (again("teacher", "FAILED"), RECIPE, ["teacher", *AFTER_TEACHER]),
        (again("teacher", "RUNNING"), RECIPE, ["teacher", *AFTER_TEACHER]),
        (again("teacher", "KILLED"), RECIPE, ["teacher", *AFTER_TEACHER]),
        (again("load_test", "FAILED"), RECIPE, ["load_test"]),
        (again("teacher", digest="other weights"), RECIPE, AFTER_TEACHER),
        (again("pull", content="other rows"), RECIPE, LINEAGE[1:]),
        (again("pull", digest="the same rows by another name"), RECIPE, []),
        (again("teacher", stage_key="of another recipe"), RECIPE, []),
        (again("teacher", "FAILED", stage_key=""), RECIPE, []),
        (again("compare_champion", outside__champion="1:abc"), RECIPE, []),
        (without("teacher", DIGEST), RECIPE, ["teacher", *AFTER_TEACHER]),
        (without("teacher", PREFIX + CODE), RECIPE, ["teacher", *AFTER_TEACHER]),
        (without("teacher", KEY), RECIPE, ["teacher", *AFTER_TEACHER]),
        (nothing, edited("teacher.training.epochs", 99), ["teacher", *AFTER_TEACHER]),
        (nothing, edited("seed", 99), ["teacher", *AFTER_TEACHER]),
        (nothing, edited("gate.bytes", 99), ["gate", "final_test"]),
        (nothing, edited("latency.rounds", 99), ["evaluate", "gate", "compare_champion", "final_test"]),
        (nothing, edited("description", "in other words"), []),
    ],
)
def test_only_what_the_recipe_accounts_for_is_of_a_version(
    happened: Callable[[Night], None], recipe: Recipe, gone: list[str]
) -> None:
    """A run that broke, is not done, or whose key comes from another recipe, other rows or other weights, is none."""
    night = night_of(RECIPE)
    happened(night)
    found = runs_of(recipe, night.runs)
    assert missing(recipe, found) == gone
    assert set(found) | set(gone) == set(LINEAGE)


def test_of_several_the_last_that_follows_counts() -> None:
    """A comparison with a later champion takes the earlier one's place; one of another recipe does not."""
    night = night_of(RECIPE)
    comparison = next(stage for stage in stages_of(RECIPE) if stage.kind == "compare_champion")
    later = replace(comparison, outside={"champion": "1:abc"})
    key = stage_key(later, inputs_of(later, runs_of(RECIPE, night.runs)), "code")
    night.again("compare_champion", outside__champion="1:abc", stage_key=key, digest="against version 1")
    night.again("compare_champion", stage_key="of another recipe")
    found = runs_of(RECIPE, night.runs)["compare_champion"]
    assert found.data.tags[DIGEST] == "against version 1"
    assert find_newest_of_each(night.runs)["compare_champion"].data.tags[KEY] == "of another recipe"
    night.again("compare_champion", "FAILED", outside__champion="1:abc", stage_key=key)
    assert "compare_champion" not in runs_of(RECIPE, night.runs)
