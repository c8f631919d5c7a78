"""Whatever a recipe file holds, it is read as it is written or refused in one sentence."""

import inspect
import os
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from bad_recipes import BAD, RECIPES, SEED

from stillhouse.models.networks.registry import NETWORKS
from stillhouse.tasks.errors import RecipeError
from stillhouse.tasks.recipe.folders import recipe_files
from stillhouse.tasks.recipe.network_arguments import ARGUMENTS
from stillhouse.tasks.recipe.recipe import load_recipe, parse_recipe
from stillhouse.tasks.recipe.schedule import check_schedule
from stillhouse.tasks.recipe.strict_yaml import YamlError, read_yaml

SHIPPED = recipe_files(RECIPES)
REMEDY = re.compile(
    r"; (mend|keep|save|write|name|remove|give|shorten|make|use|set)\b|, in line|YAML 1.2 has none, so write"
)


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_sentence_that_names_the_key_and_the_remedy(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    """The refusal names the file, the key at fault and what to do, in one printable line."""
    path = tmp_path / "seed_digits.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=sentence) as refused:
        load_recipe(path)
    said = str(refused.value)
    assert said.startswith(f"recipe {path} ")
    assert REMEDY.search(said)
    assert said.isprintable()
    assert len(said) < 1500


def test_a_path_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to and a link to nothing are refused without waiting."""
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "gone")
    for name in ("folder", "pipe", "link"):
        with pytest.raises(RecipeError, match=rf"{name}\.yaml (is no file|cannot be read \(.*\)); name a file of"):
            load_recipe(tmp_path / f"{name}.yaml")


def test_files_of_other_programs_are_no_recipes(tmp_path: Path) -> None:
    """Dot files, such as macOS's `._x.yaml`, are left out of a folder's recipes, which are listed by name."""
    for name in ("b.yaml", "a.yaml", "._a.yaml", ".a.yaml", "a.yaml~", "a.yml", ".#a.yaml"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    assert [path.name for path in recipe_files(tmp_path)] == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_reads_the_same_in_both_versions_of_yaml(path: Path) -> None:
    """What is shipped holds nothing that YAML 1.1 and 1.2 read differently."""
    text = path.read_text(encoding="utf-8")
    assert read_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("012", 12),
        ("+5", 5),
        ("-0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("2026-11-28", "2026-11-28"),
        ("=", "="),
        ("'012'", "012"),
        ('"true"', "true"),
        ("'<<'", "<<"),
        ("&a [1, 2]", [1, 2]),
        ("{b: 1}", {"b": 1}),
        ("|\n two\n lines\n", "two\nlines\n"),
    ],
)
def test_a_value_is_read_as_yaml_1_2_has_it(text: str, value: object) -> None:
    """Booleans, numbers and null are those of the core schema; all else is a string."""
    found = read_yaml(f"a: {text}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


def test_an_alias_repeats_a_value() -> None:
    """What is named once may be repeated by its name, and both read the same."""
    assert read_yaml("a: &t {b: [1]}\nc: *t\nd: *t") == {"a": {"b": [1]}, "c": {"b": [1]}, "d": {"b": [1]}}


@pytest.mark.parametrize(
    "expression",
    [
        *("0 2 * * *", "*/10 * * * *", "30 3 * * 1-5", "0 1 * * 6", "0 0 29 2 *", "0 2 * * MON,thu", "0 2 1,15 * *"),
        *("0 2 L * *", "0 2 15W * *", "0 2 * * 6#1", "0 2 * * L5", "0 2 ? * 7", "0 22-4/2 * jan-mar *"),
        *("@daily", "@hourly", "@weekly", "@monthly", "@quarterly", "@yearly"),
    ],
)
def test_a_schedule_that_fires_is_taken_by_airflow_too(expression: str) -> None:
    """Airflow's own timetable reads every kind of schedule that a recipe may have, and knows its next night."""
    import pendulum
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.trigger import CronTriggerTimetable

    timetable = CronTriggerTimetable(check_schedule(expression), timezone="UTC")
    timetable.validate()
    now = pendulum.now("UTC")
    assert timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=now, latest=None, catchup=False)
    )


def test_a_recipe_knows_the_arguments_of_every_network() -> None:
    """The bounds of a network's arguments have its names and its defaults, so that none goes unchecked."""
    assert set(ARGUMENTS) == set(NETWORKS)
    for name, network in NETWORKS.items():
        taken = inspect.signature(network.module.__init__).parameters
        fields = ARGUMENTS[name].model_fields
        assert set(fields) == set(taken) - {"self"}, name
        for argument, field in fields.items():
            if argument != "letters":  # which training knows from its data
                default = taken[argument].default
                assert field.is_required() == (default is inspect.Parameter.empty), f"{name} {argument}"
                assert field.is_required() or field.default == default, f"{name} {argument}"


NASTY = [
    *("yes", "012", "0x", "-4", "0", "1e400", ".nan", "~", "''", "[]", "{}", "[[]]", "{a: 1}", "&a b", "*a", "!x y"),
    *("|", "- ", "? ", ": ", "%", "@", "`", '"\\ud800"', '"\\x', "'", '"', "{", "[", "}", "]", "#", "\t", "\u2028"),
    *("99999999999999999999", "true", "null", "<<: {}", "---", "...", "seed: 7", "teacher:", "@once", "* * * * *"),
    *("\x85", "ü", "\N{CAT FACE}"),
]


def change_a_line(line: str, chance: random.Random) -> list[str]:
    """Lose, repeat or indent a line, or put something else where its value or number was."""
    something = chance.choice(NASTY)
    changes = (
        [],
        [line, line],
        [" " * chance.randint(0, 6) + line.lstrip()],
        [re.sub(r"[:\[,] ?[^:,\]}]*", lambda _found: f": {something}", line, count=1)],
        [re.sub(r"-?[0-9][0-9.]*", lambda _found: something, line, count=1)],
    )
    return chance.choice(changes)


def mutated(text: str, chance: random.Random) -> str:
    """Change a recipe's text in one to four places, as a hurried person, an editor or a broken disk would."""
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.7:
            lines = text.split("\n")
            row = chance.randrange(len(lines))
            lines[row : row + 1] = change_a_line(lines[row], chance)
            text = "\n".join(lines)
        else:
            place = chance.randrange(len(text) + 1)
            text = text[:place] + chance.choice(["", *NASTY]) + text[place + chance.randint(0, 20) :]
    return text


def refusal(read: Callable[[], object], kind: type[Exception]) -> str | None:
    """Give the sentence with which reading was refused, None if it was not; any other exception is a traceback."""
    try:
        read()
    except kind as error:
        return str(error)
    return None


@pytest.mark.parametrize("times", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_a_damaged_recipe_is_read_or_refused_but_never_a_traceback(times: int) -> None:
    """Shipped recipes, changed at random, are read, or refused in one printable sentence."""
    said: list[str] = []
    for path in SHIPPED:
        chance = random.Random(path.stem)  # noqa: S311 - the same damage every time
        text = path.read_text(encoding="utf-8")
        damaged = [mutated(text, chance) for _ in range(times)]
        said += filter(None, (refusal(partial(parse_recipe, each, path.name), RecipeError) for each in damaged))
    assert [each for each in said if not (each.isprintable() and REMEDY.search(each))] == []
    assert len(said) > times * len(SHIPPED) / 2


@pytest.mark.parametrize("times", [1000, pytest.param(20_000, marks=pytest.mark.long)])
def test_any_text_is_read_or_refused_but_never_a_traceback(times: int) -> None:
    """Random text of the characters that YAML gives a meaning is read, or refused by the reader itself."""
    chance = random.Random(7)  # noqa: S311 - the same text every time
    pieces = [*NASTY, " ", "\n", "\n  ", "a", "b: ", "1", "\\", ",", "\r", "\0", "\ufeff", "\U0010ffff"]
    texts = ["".join(chance.choices(pieces, k=chance.randint(1, 30))) for _ in range(times)]
    assert "" not in [refusal(partial(read_yaml, text), YamlError) for text in texts]


def test_the_seed_recipe_itself_is_read() -> None:
    """The recipe that the bad files are made of has no fault."""
    assert parse_recipe(SEED, "seed_digits.yaml").name == "seed_digits"
