"""Real digits land and become a new data version: once, whoever is killed, and nobody else's files are touched."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_samples import commit_house, git, make_job
from inbox_samples import (
    at,
    batch_of,
    fewer_digits,
    ingest_all,
    make_house_with_inbox,
    new_digits,
    said_by_git,
    send,
    send_digits,
    tags,
)

from stillhouse.models.data.images import load_images
from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.data.ingest import inbox, ingest, ingest_batch
from stillhouse.tasks.data.ingest.neighbours import agreement
from stillhouse.tasks.data.store.data_branch import base_of, find_newest_tag
from stillhouse.tasks.data.store.remote import list_folder
from stillhouse.tasks.data.store.revision import read_pinned_md5
from stillhouse.tasks.errors import DataError, ServiceError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import materialise, pull_data
from stillhouse.tasks.stages.validate import validate_data


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose digits lack sixty."""
    return make_house_with_inbox(tmp_path / "house", monkeypatch)


def pulled(tmp_path: Path, revision: str) -> tuple[Path, dict[str, Any]]:
    """Pull and validate a revision as a night does; gives the folder and data.json."""
    job = make_job(tmp_path / "pull", Data(dataset="digits", revision=revision))
    pull_data(job)
    validate_data(make_job(tmp_path / "validate", job.settings["data"], {"data": job.out}))
    return materialise(job.out), json.loads((job.out / "data.json").read_text())


def test_a_batch_becomes_a_version_that_a_night_can_use(house: Settings, tmp_path: Path) -> None:
    """What landed is in train behind what was there, under a tag; the other splits and files keep their bytes."""
    send_digits(house, "monday", new_digits())
    (outcome,) = ingest_all(house)
    assert (outcome.batch, outcome.state, outcome.tag) == ("monday", "accepted", find_newest_tag(house.root, "digits"))
    assert outcome.sentence.startswith("60 new, 0 known, version ")
    folder, pointer = pulled(tmp_path, str(outcome.tag))
    assert outcome.tag == f"data/digits/{pointer['data_version']}"
    assert pointer["counts"] == {"train": 937, "calibration": 100, "validation": 100, "gate": 300, "test": 360}
    before, after = list_folder(fewer_digits()), list_folder(folder)
    assert {name for name in after if before.get(name) != after[name]} == {
        "dataset.json",
        "manifest.parquet",
        "train-001.parquet",
    }
    added = load_images(folder, "train").images_NCHW[-60:]
    assert added.tobytes() == b"".join(example.image for example in new_digits())
    assert read_description(folder)["sources"][-1]["name"] == "monday"
    assert (at(house, "incoming"), at(house, "quarantine"), at(house, "moving")) == ([], [], [])
    assert len(at(house, "accepted/digits/monday")) == 61


def test_the_working_tree_and_the_index_stay(house: Settings) -> None:
    """The version is a commit of Stillhouse on `data`; HEAD, the index, data.dvc and files in work are untouched."""
    (house.root / "data.dvc").write_text((house.root / "data.dvc").read_text() + "# in work\n")
    (house.root / "staged").write_text("staged")
    git(house.root, "add", "staged")
    before = [said_by_git(house, *each) for each in (("status", "--short"), ("rev-parse", "HEAD"))]
    send_digits(house, "monday", new_digits())
    (outcome,) = ingest_all(house)
    assert [said_by_git(house, *each) for each in (("status", "--short"), ("rev-parse", "HEAD"))] == before
    assert said_by_git(house, "rev-parse", "data") == said_by_git(house, "rev-parse", f"{outcome.tag}^{{commit}}")
    assert said_by_git(house, "diff", "--name-only", "HEAD", "data", "--") == "data.dvc"
    assert (
        said_by_git(house, "log", "-1", "--format=%an %s", "data", "--") == "Stillhouse digits monday: 60 new, 0 known"
    )


@pytest.mark.long
def test_dvc_itself_agrees(house: Settings, tmp_path: Path) -> None:
    """On the commit that was made, DVC pulls the version and finds cache and remote in sync."""
    send_digits(house, "monday", new_digits())
    (outcome,) = ingest_all(house)
    folder, _ = pulled(tmp_path, str(outcome.tag))
    shutil.rmtree(house.root / "data")
    git(house.root, "merge", "--quiet", "data")
    for command in (["pull"], ["status"], ["status", "--cloud"]):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *command], cwd=house.root, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "changed" not in done.stdout
    assert done.stdout == "Cache and remote 'storage' are in sync.\n"
    assert list_folder(house.root / "data" / "digits") == list_folder(folder)


def test_batches_build_on_each_other_and_known_pictures_are_counted(house: Settings, tmp_path: Path) -> None:
    """The second batch of an ingestion is merged into the version of the first; what train has is left out."""
    send_digits(house, "a", new_digits()[:30])
    send_digits(house, "b", new_digits()[20:])
    first, second = ingest_all(house)
    assert first.sentence.startswith("30 new, 0 known, version")
    assert second.sentence.startswith("30 new, 10 known, version")
    assert tags(house) == sorted([str(first.tag), str(second.tag)])
    assert find_newest_tag(house.root, "digits") == second.tag
    folder, _ = pulled(tmp_path, "data")
    assert [each["name"] for each in read_description(folder)["sources"][-2:]] == ["a", "b"]
    assert [shard["rows"] for shard in read_description(folder)["splits"]["train"]["shards"]] == [877, 30, 30]


@pytest.mark.parametrize("name", ["monday", "tuesday"])
def test_what_landed_before_is_nothing_new(house: Settings, name: str) -> None:
    """The same batch again, under whatever name and order, makes no version and says as what it landed before."""
    send_digits(house, "monday", new_digits())
    ingest_all(house)
    files, contents = batch_of(new_digits())
    send(house, name, files, {"files": contents["files"][::-1]})
    (again,) = ingest_all(house)
    assert again.state == "quarantined"
    assert again.sentence == f"digits batch {name}: nothing new: landed before as monday; send only what is new"
    assert len(tags(house)) == 1
    assert len(at(house, "accepted/digits/monday")) == 61
    assert len(at(house, f"quarantine/digits/{name}")) == 62


def test_a_name_may_be_used_again(house: Settings) -> None:
    """Another batch of a name that was accepted is another batch, and lies beside the first."""
    for examples in (new_digits()[:30], new_digits()[30:]):
        send_digits(house, "daily", examples)
        assert [each.state for each in ingest_all(house)] == ["accepted"]
    assert {key.split("/")[1] for key in at(house, "accepted")} == {"daily", "daily.2"}


def test_a_batch_without_its_last_file_is_left_alone(house: Settings) -> None:
    """Until batch.json is there a batch is still arriving, and a loose file is, too; then it is taken."""
    files, contents = batch_of(new_digits())
    place = inbox.open_inbox(house)
    place.put("incoming/digits/loose.png", b"")
    for name, content in files.items():
        place.put(f"incoming/digits/monday/{name}", content)
    assert [(each.batch, each.state) for each in ingest_all(house)] == [
        ("loose.png", "still arriving"),
        ("monday", "still arriving"),
    ]
    send(house, "monday", {}, contents)
    assert [each.state for each in ingest_all(house)] == ["still arriving", "accepted"]


EFFECTS: list[tuple[object, str, int]] = [
    (inbox.Folder, "fetch", 1),
    (inbox.Folder, "fetch", 30),
    (ingest_batch, "extend_dataset", 1),
    (ingest_batch, "push_folder", 1),
    (ingest_batch, "commit_version", 1),
    (inbox.Folder, "put", 1),
    (inbox.Folder, "rename", 1),
    (inbox.Folder, "rename", 30),
    (inbox.Folder, "rename", 61),
    (inbox.Folder, "delete", 1),
]
"""Everything that outlives the process, and which of its calls does not return."""


class KilledError(Exception):
    """Stands for a kill."""


def quietly(*_: object) -> None:
    """Find nothing wrong."""


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "effect", "nth"), EFFECTS, ids=lambda value: str(getattr(value, "__name__", value)))
def test_whoever_is_killed_there_is_one_version(  # noqa: PLR0913, PLR0917 - fixtures and a row
    house: Settings, monkeypatch: pytest.MonkeyPatch, owner: object, effect: str, nth: int, when: str
) -> None:
    """Killed before or after any effect, a rerun ends with one version, one tag, and the batch accepted and told."""
    monkeypatch.setattr(ingest_batch, "_sound", quietly)  # has no effect that outlives it, and takes seconds
    send_digits(house, "monday", new_digits())
    calls = 0

    def killed(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == nth and when == "before":
                raise KilledError
            result = real(*arguments, **options)
            if calls == nth:
                raise KilledError
            return result

        return call

    with monkeypatch.context() as patched:
        patched.setattr(owner, effect, killed(getattr(owner, effect)))
        with pytest.raises(KilledError):
            ingest_all(house)
    told = ingest_all(house)
    assert [each.state for each in told] == ["accepted"] or (effect, when, told) == ("delete", "after", [])
    assert all(each.sentence.startswith("60 new, 0 known, version") for each in told)
    assert tags(house) == [find_newest_tag(house.root, "digits")]
    assert said_by_git(house, "rev-list", "--count", "base..data") == "1"
    assert (at(house, "incoming"), at(house, "quarantine"), at(house, "moving")) == ([], [], [])
    assert len(at(house, "accepted/digits/monday")) == 61
    assert ingest_all(house) == []


def test_a_tag_that_a_kill_left_out_is_set(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git writes two references one after the other: a branch without its tag is found and tagged."""
    send_digits(house, "monday", new_digits())
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "_note", _raise)
        with pytest.raises(KilledError):
            ingest_all(house)
    (tag,) = tags(house)
    git(house.root, "tag", "--delete", tag)
    (outcome,) = ingest_all(house)
    assert (outcome.state, outcome.tag, tags(house)) == ("accepted", tag, [tag])


def _raise(*_: object) -> None:
    raise KilledError


def test_a_branch_that_another_house_moved_is_not_overwritten(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second makes no version, neither branch nor tag, and the same again will do."""
    send_digits(house, "monday", new_digits())

    def moved(*arguments: Any) -> None:
        git(house.root, "branch", "data", "HEAD")
        push(*arguments)

    push = ingest_batch.push_folder
    with monkeypatch.context() as patched:
        patched.setattr(ingest_batch, "push_folder", moved)
        with pytest.raises(ServiceError, match=r"the branch data was not moved .*; run the ingestion again"):
            ingest_all(house)
    assert (tags(house), len(at(house, "incoming"))) == ([], 61)
    assert [each.state for each in ingest_all(house)] == ["accepted"]


def change_deployed(house: Settings, licence: str) -> None:
    (house.root / "data" / "digits" / "LICENSE.txt").write_text(licence)
    described = json.loads((house.root / "data" / "digits" / "dataset.json").read_text())
    described["licence_file"]["sha256"] = hashlib.sha256(licence.encode()).hexdigest()
    (house.root / "data" / "digits" / "dataset.json").write_text(json.dumps(described))
    commit_house(house, licence)


def test_after_a_merge_the_next_version_comes_from_head(house: Settings, tmp_path: Path) -> None:
    """Once HEAD has the branch, what HEAD pins is what the next batch is merged into, and so is its code."""
    send_digits(house, "a", new_digits()[:30])
    ingest_all(house)
    git(house.root, "merge", "--quiet", "data")
    git(house.root, "commit", "--quiet", "--allow-empty", "--message", "code")
    send_digits(house, "b", new_digits()[30:])
    assert [each.state for each in ingest_all(house)] == ["accepted"]
    assert said_by_git(house, "rev-parse", "data~1") == said_by_git(house, "rev-parse", "HEAD")
    assert pulled(tmp_path, "data")[1]["counts"]["train"] == 937


def test_head_and_the_branch_may_not_part(house: Settings) -> None:
    """A deployed version that the branch does not come from is refused until a person decides; the batch waits."""
    send_digits(house, "a", new_digits()[:30])
    ingest_all(house)
    change_deployed(house, "another")
    send_digits(house, "b", new_digits()[30:])
    with pytest.raises(DataError, match=r"HEAD pins a version of digits that .*merge HEAD into data, or delete the"):
        ingest_all(house)
    assert len(at(house, "incoming")) == 31
    git(house.root, "branch", "--quiet", "-D", "data")
    assert [each.state for each in ingest_all(house)] == ["accepted"]


def test_a_house_without_git_is_named(house: Settings) -> None:
    """Without a repository, and with the branch checked out, nothing is made, and the sentence says what to do."""
    send_digits(house, "a", new_digits())
    git(house.root, "checkout", "--quiet", "-b", "data")
    with pytest.raises(DataError, match=r"the branch data is checked out.*; check out another branch there"):
        ingest_all(house)
    shutil.rmtree(house.root / ".git")
    with pytest.raises(DataError, match="is no git repository with a commit"):
        ingest_all(house)
    assert len(at(house, "incoming")) == 61


def test_an_unknown_dataset_is_named(house: Settings) -> None:
    """A dataset that data.dvc does not have ends in a sentence."""
    with pytest.raises(DataError, match="has no dataset 'cats'; name one of digits"):
        ingest_all(house, "cats")


def test_real_neighbours_agree() -> None:
    """The validation split of the digits has the labels of its neighbours; with other labels it has not."""
    train, search = (load_images(fewer_digits(), split) for split in ("train", "validation"))
    assert agreement(train, search) > 0.9
    search.labels_N[:] = (search.labels_N + 1) % 10
    assert agreement(train, search) < 0.1


def test_the_base_is_head_without_a_branch(house: Settings) -> None:
    """Before anything landed a version is made from HEAD, and there is no newest one."""
    assert base_of(house.root, "digits").commit == said_by_git(house, "rev-parse", "HEAD")
    assert find_newest_tag(house.root, "digits") is None
    assert read_pinned_md5(house.root, "HEAD", "digits") == read_pinned_md5(house.root, None, "digits")
