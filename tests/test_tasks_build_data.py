"""Building the sample data and keeping it in the DVC remote."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from data_samples import (
    REPOSITORY,
    built_dataset,
    built_digits,
    built_emoji_small,
    commit_house,
    make_house,
    object_of,
    quiet,
)

from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.data.sources import small as sources
from stillhouse.tasks.data.sources.small import Split
from stillhouse.tasks.data.store.build_data import PLANS, ImagePlan, assign, commit_data, ensure_data
from stillhouse.tasks.data.store.remote import list_folder, listing_md5, open_remote
from stillhouse.tasks.data.store.revision import read_pinned, read_pinned_md5
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings, load_settings

SHARD = "train-000.parquet"
DIGITS = Data(dataset="digits")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose only dataset is the digits."""
    return make_house(tmp_path / "house", monkeypatch)


@pytest.mark.long
def test_the_committed_data_version_is_what_any_machine_builds() -> None:
    """All datasets, built from their real sources, have the MD5s that the repository's data.dvc pins."""
    built = {name: listing_md5(list_folder(built_dataset(name))) for name in PLANS}
    assert built == read_pinned(REPOSITORY, None)


def test_fashion_mnist_gives_each_split_its_share() -> None:
    """Fashion-MNIST keeps its official test split and divides the rest as the plan says."""
    described = read_description(built_dataset("fashion_mnist"))
    counts = {split: each["count"] for split, each in described["splits"].items()}
    assert counts == {"train": 52_000, "calibration": 1_000, "validation": 2_000, "gate": 5_000, "test": 10_000}
    assert [shard["rows"] for shard in described["splits"]["train"]["shards"]] == [16_384, 16_384, 16_384, 2_848]


@pytest.mark.long
def test_each_split_of_the_emoji_has_its_share() -> None:
    """Every label is drawn in the judged styles and in training; the small emoji are a part of the whole."""
    described = read_description(built_dataset("emoji"))
    counts = {split: each["count"] for split, each in described["splits"].items()}
    assert counts == {"train": 7_464, "calibration": 400, "validation": 588, "gate": 1_603, "test": 1_603}
    assert [shard["rows"] for shard in described["splits"]["train"]["shards"]] == [4_096, 3_368]
    whole, small = (pq.read_table(built_dataset(name) / "manifest.parquet") for name in ("emoji", "emoji_small"))
    assert set(small["sha256"].to_pylist()) < set(whole["sha256"].to_pylist())
    trained = whole.filter(pc.equal(whole["split"], "train"))
    assert set(trained["label"].to_pylist()) == set(range(1_603))


@pytest.mark.long
def test_each_split_of_the_stamps_has_its_share() -> None:
    """A tenth of the pairs is for `test`, a tenth for `gate`; every label trains; the small set is part of it."""
    described = read_description(built_dataset("stamps"))
    counts = {split: each["count"] for split, each in described["splits"].items()}
    assert counts == {"train": 4_524, "calibration": 149, "validation": 224, "gate": 589, "test": 627}
    assert [shard["rows"] for shard in described["splits"]["train"]["shards"]] == [1_536, 1_536, 1_452]
    captions = pq.read_table(built_dataset("stamps") / "captions.parquet").to_pandas()
    shares = captions["split"].value_counts(normalize=True).round(3).to_dict()
    assert shares == {"train": 0.74, "test": 0.1, "gate": 0.1, "validation": 0.04, "calibration": 0.02}
    assert captions.groupby(captions["name"].str.casefold())["split"].nunique().max() == 1
    assert captions.groupby("language").size().min() >= 600
    whole, small = (pq.read_table(built_dataset(name) / "manifest.parquet") for name in ("stamps", "stamps_small"))
    assert set(small["sha256"].to_pylist()) < set(whole["sha256"].to_pylist())
    trained = whole.filter(pc.equal(whole["split"], "train"))
    assert set(trained["label"].to_pylist()) == set(range(778))


def test_a_second_build_has_the_same_bytes(tmp_path: Path) -> None:
    """Building the digits again changes no byte of any file."""
    PLANS["digits"].build(tmp_path / "again", "digits", quiet)
    assert list_folder(tmp_path / "again") == list_folder(built_digits())


TWO_SPLITS = (("test", "test", None), ("gate", "train", 1), ("train", "train", None))


@pytest.mark.parametrize(
    ("train", "test", "counts"),
    [
        ([1, 2, 3], [4, 5], {"test": 2, "gate": 1, "train": 2}),
        ([1, 2, 4], [4, 5], {"test": 2, "gate": 1, "train": 1}),
        ([1, 1, 1], [4, 4], {"test": 1, "gate": 1, "train": 0}),
        ([4, 5], [4, 5], {"test": 2, "gate": 0, "train": 0}),
    ],
)
def test_an_image_has_one_split_and_the_most_guarded_keeps_it(
    train: list[int], test: list[int], counts: dict[str, int]
) -> None:
    """An image seen twice stays once, in the first split of the plan that could have it."""
    splits = assign({"train": _split(train), "test": _split(test)}, ImagePlan(sources.read_digits, TWO_SPLITS))
    assert {split: len(examples) for split, examples in splits.items()} == counts
    digests = [example.sha256 for examples in splits.values() for example in examples]
    assert len(digests) == len(set(digests))


def test_an_altered_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source file with other bytes than the pinned ones stops the build."""
    monkeypatch.setitem(sources.DIGITS_FILES, sources.DIGITS_CSV, "0" * 64)
    with pytest.raises(DataError, match=r"source scikit-learn: digits\.csv\.gz is not the pinned file .* install the"):
        PLANS["digits"].build(tmp_path / "digits", "digits", quiet)
    assert not (tmp_path / "digits").exists()


def test_a_package_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Debian's client the Fashion-MNIST source is refused with the remedy."""
    monkeypatch.setattr(sources, "FASHION_FILES", {"usr/share/datasets/nowhere": "0" * 64})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DataError, match=r"source dataset-fashion-mnist cannot be downloaded .*apt-get is not installed"
    ):
        sources.read_fashion_mnist(quiet)


def test_a_filled_remote_needs_nothing(house: Settings) -> None:
    """When the remote holds the pinned version, nothing is built or pushed, within a second."""
    shutil.rmtree(house.root / "data")
    lines: list[str] = []
    start = time.perf_counter()
    ensure_data(house, DIGITS, lines.append)
    assert lines == []
    assert time.perf_counter() - start < 1
    assert not (house.root / "data").exists()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _alter])
@pytest.mark.parametrize("name", [SHARD, ""])
def test_a_damaged_remote_is_filled_again(house: Settings, damage: Callable[[Path], None], name: str) -> None:
    """A missing, truncated or altered object of the local remote is built and pushed again."""
    damaged = object_of(house, name)
    whole = damaged.read_bytes()
    damage(damaged)
    shutil.rmtree(house.root / "data")
    ensure_data(house, DIGITS, quiet)
    assert damaged.read_bytes() == whole


def test_a_build_that_differs_from_the_pin_is_refused(house: Settings) -> None:
    """Data that data.dvc does not pin is never pushed in its name."""
    pin = house.root / "data.dvc"
    pin.write_text(pin.read_text().replace(read_pinned_md5(house.root, None, "digits"), f"{'0' * 32}.dir"))
    with pytest.raises(DataError, match=r"data/digits built from its .*where data\.dvc pins 0{32}\.dir.*make install"):
        ensure_data(house, DIGITS, quiet)
    assert not open_remote(house).holds(f"{'0' * 32}.dir")


def test_two_at_once_build_once(house: Settings) -> None:
    """Of two callers one builds and the other waits, then finds the remote filled."""
    shutil.rmtree(house.state / "remote")
    shutil.rmtree(house.root / "data")
    shown: tuple[list[str], list[str]] = ([], [])
    callers = [threading.Thread(target=ensure_data, args=(house, DIGITS, lines.append)) for lines in shown]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(bool(lines) for lines in shown) == [False, True]
    assert open_remote(house).holds(read_pinned_md5(house.root, None, "digits"))


def test_a_state_folder_that_cannot_be_made_is_named(house: Settings) -> None:
    """A file in the place of the state folder ends in a sentence."""
    shutil.rmtree(house.state)
    house.state.write_text("in the way")
    with pytest.raises(DataError, match=r"the data cannot be written .*free the disk or mend the permissions"):
        ensure_data(house, DIGITS, quiet)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house of two datasets whose remote is empty and whose `data/` is not built."""
    for name in PLANS.keys() - {"digits", "emoji_small"}:
        monkeypatch.delitem(PLANS, name)
    house = make_house(tmp_path / "house", monkeypatch)
    shutil.copytree(built_emoji_small(), house.root / "data" / "emoji_small")
    commit_house(house, "two")
    for folder in (house.state / "remote", house.root / "data"):
        shutil.rmtree(folder)
    return load_settings()


def test_only_the_dataset_of_the_recipe_is_built(two: Settings) -> None:
    """One dataset is built and pushed; another recipe's is added to the same remote later."""
    ensure_data(two, DIGITS, quiet)
    assert [folder.name for folder in (two.root / "data").iterdir()] == ["digits"]
    held = open_remote(two).holds
    assert [held(md5) for md5 in read_pinned(two.root, None).values()] == [True, False]
    ensure_data(two, Data(dataset="emoji_small"), quiet)
    assert all(held(md5) for md5 in read_pinned(two.root, None).values())


def test_make_data_fills_the_remote_with_all(two: Settings) -> None:
    """`stillhouse data` builds and pushes every dataset that data.dvc pins."""
    subprocess.run([sys.executable, "-m", "stillhouse.tasks.cli", "data"], cwd=REPOSITORY, check=True)
    assert all(open_remote(two).holds(md5) for md5 in read_pinned(two.root, None).values())


def test_a_dataset_that_nothing_builds_is_named(two: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pinned dataset without a plan, which the remote does not hold, ends in a sentence."""
    monkeypatch.delitem(PLANS, "digits")
    with pytest.raises(DataError, match=r"data/digits is not whole in the DVC remote .*`dvc push` it"):
        ensure_data(two, DIGITS, quiet)


def test_a_commit_of_what_is_built_keeps_the_pins_of_imported_data(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing here builds imported data, so its pin is the only thing that finds it in the remote."""
    before = read_pinned(two.root, None)
    monkeypatch.delitem(PLANS, "emoji_small")
    shutil.rmtree(two.root / "data" / "emoji_small", ignore_errors=True)
    commit_data(two, quiet)
    assert read_pinned(two.root, None) == before


def dvc(house: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=house.root, check=False, capture_output=True, text=True)


def test_dvc_itself_agrees(two: Settings) -> None:
    """DVC pulls what was pushed here, and committing the same folders leaves data.dvc as it was written here."""
    commit_data(two, quiet)
    written = (two.root / "data.dvc").read_text()
    before = list_folder(two.root / "data")
    shutil.rmtree(two.root / "data")
    for command in (["pull"], ["commit", "--force", "data.dvc"], ["status", "--cloud"]):
        done = dvc(two, *command)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "Cache and remote 'storage' are in sync.\n"
    assert list_folder(two.root / "data") == before
    assert (two.root / "data.dvc").read_text() == written


def test_dvc_names_what_a_remote_lacks(two: Settings) -> None:
    """Of a remote with one dataset, DVC pulls that one and names the other."""
    ensure_data(two, DIGITS, quiet)
    shutil.rmtree(two.root / "data")
    assert dvc(two, "pull", "data/digits").returncode == 0
    done = dvc(two, "pull")
    assert done.returncode == 1
    assert "Checkout failed for following targets:\ndata/emoji_small\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not in cache:       data/emoji_small" in dvc(two, "status").stdout


def _split(values: list[int]) -> Split:
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    return Split(images, np.zeros(len(values), np.int64))
