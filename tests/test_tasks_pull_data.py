"""Pulling a data version: every byte checked, nothing half-made or altered ever used."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from data_samples import built_digits, commit_house, digest_of, git, make_house, make_job, object_of

from stillhouse.tasks.data.format.dataset import fault_of
from stillhouse.tasks.data.store.remote import list_folder, listing_bytes, listing_md5, open_remote
from stillhouse.tasks.data.store.revision import read_pinned_md5
from stillhouse.tasks.errors import DataError, ServiceError, StillhouseError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import data_digest, materialise, pull_data

DIGITS = Data(dataset="digits")
SHARD = "train-000.parquet"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose remote holds the digits and whose host cache is empty."""
    return make_house(tmp_path / "house", monkeypatch)


def test_a_pull_pins_and_caches_the_dataset(house: Settings, tmp_path: Path) -> None:
    """The artifact says which data; the host cache holds the very files that were built."""
    job = make_job(tmp_path / "job", DIGITS)
    metrics = pull_data(job)
    pointer = json.loads((job.out / "data.json").read_text())
    digest, md5 = digest_of(built_digits()), read_pinned_md5(house.root, None, "digits")
    assert pointer == {
        "dataset": "digits",
        "revision": None,
        "dvc_md5": md5,
        "digest": digest,
        "data_version": f"{digest[:12]}-{md5}",
        "counts": {"train": 937, "calibration": 100, "validation": 100, "gate": 300, "test": 360},
    }
    assert list_folder(house.data_cache / digest) == list_folder(built_digits())
    assert metrics["rows_train"] == 937.0
    assert metrics["bytes"] == sum(path.stat().st_size for path in built_digits().iterdir())
    assert [path.name for path in job.out.iterdir()] == ["data.json"]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        (SHARD, Path.unlink, f"data/digits/{SHARD} is missing from the DVC remote .*run `stillhouse data`"),
        (SHARD, _truncate, f"data/digits/{SHARD} is truncated or altered .*delete that object and run"),
        (SHARD, _alter, f"data/digits/{SHARD} is truncated or altered .*delete that object and run"),
        ("dataset.json", _alter, r"data/digits/dataset\.json is truncated or altered"),
        ("manifest.parquet", Path.unlink, r"data/digits/manifest\.parquet is missing"),
        ("", Path.unlink, r"the listing of data/digits, version [0-9a-f]{32}\.dir, is missing"),
        ("", _truncate, r"the listing of data/digits, version [0-9a-f]{32}\.dir, is truncated or altered"),
    ],
)
def test_a_damaged_remote_object_is_named_and_not_used(
    house: Settings, tmp_path: Path, name: str, damage: Callable[[Path], None], sentence: str
) -> None:
    """A missing, truncated or altered object ends the pull, and leaves nothing behind in the cache."""
    damage(object_of(house, name))
    job = make_job(tmp_path / "job", DIGITS)
    with pytest.raises(DataError, match=sentence):
        pull_data(job)
    assert [path.name for path in house.data_cache.iterdir()] == ["lock"]
    assert list(job.out.iterdir()) == []


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _alter])
@pytest.mark.parametrize("name", [SHARD, "dataset.json"])
def test_an_altered_host_copy_is_fetched_again(
    house: Settings, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    """A host copy that lost or changed a byte is noticed on use and replaced from the remote."""
    job = make_job(tmp_path / "job", DIGITS)
    pull_data(job)
    folder = materialise(job.out)
    damage(folder / name)
    assert materialise(job.out) == folder
    assert list_folder(folder) == list_folder(built_digits())
    assert folder.parent == house.data_cache


def test_an_altered_host_copy_without_a_whole_remote_is_refused(house: Settings, tmp_path: Path) -> None:
    """When both the host copy and the remote are damaged, the stage that needs the data stops."""
    job = make_job(tmp_path / "job", DIGITS)
    pull_data(job)
    _alter(materialise(job.out) / SHARD)
    _alter(object_of(house, SHARD))
    with pytest.raises(DataError, match=f"data/digits/{SHARD} is truncated or altered"):
        materialise(job.out)


def test_another_host_fetches_what_the_pull_pinned(house: Settings, tmp_path: Path) -> None:
    """A host with an empty cache gets the pinned data, though the deployed data.dvc has moved on."""
    job = make_job(tmp_path / "job", DIGITS)
    pull_data(job)
    shutil.rmtree(house.data_cache)
    (house.root / "data" / "digits" / "LICENSE.txt").write_text("another licence")
    commit_house(house, "later")
    assert list_folder(materialise(job.out)) == list_folder(built_digits())


def test_a_half_made_copy_is_never_taken_for_whole(house: Settings, tmp_path: Path) -> None:
    """What a killed pull left, aside or in place, is replaced."""
    folder = house.data_cache / digest_of(built_digits())
    for left in (folder, house.data_cache / ".partial"):
        left.mkdir(parents=True)
        shutil.copy(built_digits() / "dataset.json", left)
    pull_data(make_job(tmp_path / "job", DIGITS))
    assert fault_of(folder, folder.name) == ""
    assert not (house.data_cache / ".partial").exists()


def test_a_recipe_may_name_an_older_revision(house: Settings, tmp_path: Path) -> None:
    """A revision's data is pulled whatever the work tree holds, and keys the stage differently."""
    licence = house.root / "data" / "digits" / "LICENSE.txt"
    licence.write_text("another licence")
    commit_house(house, "later")
    job = make_job(tmp_path / "job", Data(dataset="digits", revision="digits"))
    pull_data(job)
    assert list_folder(materialise(job.out)) == list_folder(built_digits())
    later = listing_md5(list_folder(house.root / "data" / "digits"))
    assert data_digest(job.settings["data"]) != data_digest(DIGITS) == later


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (Data(dataset="digits", revision="v9"), "data revision 'v9' is not a commit .*git fetch --tags"),
        (Data(dataset="digits", revision="empty"), r"revision 'empty' has no data\.dvc; name a later one"),
        (Data(dataset="cats"), r"data\.dvc of this checkout has no dataset 'cats'; name one of digits in the recipe's"),
    ],
)
def test_data_that_does_not_exist_is_refused(house: Settings, tmp_path: Path, data: Data, sentence: str) -> None:
    """An unknown revision or dataset ends in a sentence that says what to name instead."""
    git(house.root, "checkout", "--quiet", "--orphan", "empty")
    git(house.root, "rm", "--quiet", "--cached", "data.dvc")
    git(house.root, "commit", "--quiet", "--message", "no data yet")
    with pytest.raises(DataError, match=sentence):
        pull_data(make_job(tmp_path / "job", data))


@pytest.mark.parametrize("text", ["", "outs: [", "outs: []", "outs: [path: data/a]", "outs: [{md5: x, path: data/a}]"])
def test_a_pointer_that_pins_nothing_is_refused(house: Settings, text: str) -> None:
    """An empty or broken data.dvc is named with the command that restores it."""
    (house.root / "data.dvc").write_text(text)
    with pytest.raises(DataError, match=r"data\.dvc of this checkout does not track .*git checkout data\.dvc"):
        data_digest(DIGITS)


def test_a_revision_that_pins_all_as_one_is_refused(house: Settings) -> None:
    """A revision from before each dataset was pinned by itself is named with the remedy."""
    (house.root / "data.dvc").write_text(f"outs:\n- md5: {'0' * 32}.dir\n  path: data\n")
    git(house.root, "commit", "--quiet", "--message", "as it was", "data.dvc")
    with pytest.raises(DataError, match=r"revision 'HEAD' does not track .*; name a later one in data\.revision"):
        data_digest(Data(dataset="digits", revision="HEAD"))


def test_the_key_of_a_pull_needs_no_remote(house: Settings) -> None:
    """The data digest is read from git alone, in well under a second."""
    shutil.rmtree(house.state / "remote")
    start = time.perf_counter()
    assert data_digest(Data(dataset="digits", revision="HEAD")) == read_pinned_md5(house.root, None, "digits")
    assert time.perf_counter() - start < 1


def test_a_pull_needs_no_workspace_lock(house: Settings, tmp_path: Path) -> None:
    """While DVC itself holds the workspace, a pull goes on."""
    from dvc.repo import Repo

    with Repo(str(house.root)).lock:
        assert pull_data(make_job(tmp_path / "job", DIGITS))["rows_gate"] == 300.0


def test_pulls_at_once_do_not_fight(house: Settings, tmp_path: Path) -> None:
    """Four pulls at once leave one whole copy and four equal artifacts."""
    jobs = [make_job(tmp_path / f"job{number}", DIGITS) for number in range(4)]
    pulls = [threading.Thread(target=pull_data, args=(job,)) for job in jobs]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join()
    assert len({(job.out / "data.json").read_text() for job in jobs}) == 1
    folder = house.data_cache / digest_of(built_digits())
    assert fault_of(folder, folder.name) == ""


def test_a_listing_cannot_leave_the_cache(house: Settings, tmp_path: Path) -> None:
    """A listing that names a path outside its dataset is refused, and nothing is written there."""
    listing = list_folder(house.root / "data" / "digits")
    listing["../../escaped"] = listing["LICENSE.txt"]
    (tmp_path / "listing").write_bytes(listing_bytes(listing))
    open_remote(house).store(listing_md5(listing), tmp_path / "listing")
    pin = house.root / "data.dvc"
    pin.write_text(pin.read_text().replace(data_digest(DIGITS), listing_md5(listing)))
    with pytest.raises(DataError, match=r"names '\.\./\.\./escaped'; make a version without that path"):
        pull_data(make_job(tmp_path / "job", DIGITS))
    assert not (house.state / "escaped").exists()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://nowhere/data", "the DVC remote nowhere/data cannot be used .*AWS_ENDPOINT_URL"),
        ("foo://nowhere", r"the DVC remote cannot be used .*mend \.dvc/config or STILLHOUSE_DVC_URL"),
    ],
)
def test_a_remote_that_does_not_answer_is_named(
    house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    """A dead endpoint or an unknown kind of remote ends in a sentence that shows no credentials."""
    monkeypatch.setenv("STILLHOUSE_DVC_URL", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceError, match=sentence) as caught:
        pull_data(make_job(tmp_path / "job", DIGITS))
    assert "very-secret" not in str(caught.value)
    assert not (house.data_cache / ".partial").exists()


def test_a_cache_that_cannot_be_made_is_named(house: Settings, tmp_path: Path) -> None:
    """A file in the place of the host cache ends in a sentence."""
    house.data_cache.write_text("in the way")
    with pytest.raises(StillhouseError, match=r"cannot be written .*free the disk or mend its permissions"):
        pull_data(make_job(tmp_path / "job", DIGITS))
