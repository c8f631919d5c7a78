"""A version is built again from its provenance record, and compared with what was registered."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from data_samples import git
from tiny_house import House, tiny_house

from stillhouse.tasks.artifacts.code_version import unpack_code
from stillhouse.tasks.artifacts.source_digest import ROOT
from stillhouse.tasks.data.store.revision import read_pinned_md5, revision_of
from stillhouse.tasks.errors import DataError, StillhouseError
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.provenance import reproduce as module
from stillhouse.tasks.provenance.reproduce import reproduce, run_aside
from stillhouse.tasks.recipe.recipe import load_recipe

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with one registered version."""
    with tiny_house(tmp_path_factory.mktemp("house")) as house:
        house.run("test/registered")
        yield house


def test_a_version_is_rebuilt_to_the_same_bytes(house: House) -> None:
    """Without anything of the house to reuse, every stage makes the same bytes, and nothing is left behind."""
    told: list[str] = []
    found = reproduce("tiny", "1", told.append)
    assert (found.equal, found.first) == (True, None)
    stages = stages_of(load_recipe(house.recipe))
    built = [stage.name for stage in stages if stage.reusable and KINDS[stage.kind].builds]
    assert [line for line in told if line.startswith("stage ")] == [
        f"stage {number} of {len(built)}: {name}" for number, name in enumerate(built, start=1)
    ]
    assert {line.split(maxsplit=1)[0] for line in found.lines if line.endswith("the same bytes")} == {*built} - {
        "evaluate"
    }
    assert not (house.settings.state / "reproduce" / "tiny-1").exists()


def until_the_first_step(recipe: Path, stages: Sequence[str], *others: Any) -> None:
    """Break where the first step would begin."""
    run_aside(recipe, [*stages[:3], "polish"], *others)


def test_a_replay_goes_on_where_it_was_and_says_how_far_off_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stage that broke, a second call does not train again; another seed is told stage by stage, in numbers."""
    signed = module.fetch_signed_record

    def altered(*given: object) -> dict[str, object]:
        record = signed(*given)  # type: ignore[arg-type]
        return record | {"recipe": record["recipe"] | {"seed": 8}}

    monkeypatch.setattr(module, "fetch_signed_record", altered)
    folder = house.settings.state / "reproduce" / "tiny-1"
    with monkeypatch.context() as broken:
        broken.setattr(module, "run_aside", until_the_first_step)
        with pytest.raises(StillhouseError, match=r"^the reproduction broke \(.* has no stage 'polish'; use one of"):
            reproduce("tiny", "1", print)
    teachers = sorted((folder / "state" / "artifacts").glob("*/model/model.safetensors"))
    made = [path.stat().st_mtime_ns for path in teachers]
    found = reproduce("tiny", "1", print)
    assert (found.equal, found.first) == (False, "teacher")
    assert [path.stat().st_mtime_ns for path in teachers] == made
    assert any(line.startswith("student quality, gate") and line.endswith("points") for line in found.lines)
    shutil.rmtree(folder)


def test_code_that_is_no_commit_is_refused(tmp_path: Path) -> None:
    """A commit of this repository is unpacked; anything else is refused with a remedy."""
    code = unpack_code(ROOT, "HEAD", tmp_path / "code")
    assert (code / "tasks" / "cli" / "main.py").is_file()
    with pytest.raises(StillhouseError, match="code 0123abc-dirty is no commit of "):
        unpack_code(ROOT, "0123abc-dirty", tmp_path / "other")


def test_code_from_before_it_had_one_name_is_refused(tmp_path: Path) -> None:
    """Code without `src` cannot be imported beside this; the sentence says where to reproduce it."""
    for folder in ("dags", "models", "tasks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("", encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "old")
    with pytest.raises(StillhouseError, match="code HEAD is from before the package stillhouse; check that commit out"):
        unpack_code(tmp_path, "HEAD", tmp_path / "code")


def test_data_is_found_by_its_digest() -> None:
    """A digest that is deployed needs no revision; one that no commit pins is refused."""
    assert revision_of(ROOT, "digits", read_pinned_md5(ROOT, None, "digits")) is None
    with pytest.raises(DataError, match="no commit of this repository pins data/digits at 00"):
        revision_of(ROOT, "digits", f"{'0' * 32}.dir")
