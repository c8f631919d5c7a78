"""Data revisions with the old names of the splits are read under the present names, and hold the same rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.description import OLD_NAMES, describe
from stillhouse.models.data.images import load_images
from stillhouse.tasks.data.checks.data_tables import tables_of
from stillhouse.tasks.data.format.dataset import SPLITS, Example, extend_dataset, read_description, read_manifest
from tests.data_samples import built_dataset, built_digits, built_stamps_small

OLD_OF = {present: old for old, present in OLD_NAMES.items()}
ROWS = {
    "digits": {"train": "2c022703477b", "validation": "436c6e156f42", "gate": "20299e40fc63", "test": "b3fb1d74e0f2"},
    "emoji_small": {
        "train": "ecad51885836", "validation": "54d0bee49b7b", "gate": "94918abe4f1b", "test": "db5d35fb5aaa",
    },
    "stamps_small": {
        "train": "7716ffde6190", "validation": "f22066d472ea", "gate": "3d3c56cb95ee", "test": "5b5b47fea810",
    },
    "fashion_mnist": {
        "train": "63f3e0c21dc3", "validation": "56061448d37e", "gate": "1a73cea9bebc", "test": "0f38709b5a86",
    },
    "emoji": {"train": "e834caab4a13", "validation": "fdfd6558b404", "gate": "b1adfcaaabb2", "test": "4f09e6c42ed7"},
    "stamps": {"train": "15cd828b4df7", "validation": "015dcaf1e535", "gate": "26e4f10f238f", "test": "97aeffba37fe"},
}  # fmt: skip
"""Dataset -> split -> how the digest of its content begins in the revision that had the old names."""
LARGE = ("emoji", "stamps")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long if name in LARGE else ()) for name in ROWS])
def test_each_split_has_the_rows_of_before(name: str) -> None:
    """The renamed splits of every dataset have the content that they had under their old names."""
    splits = describe(built_dataset(name))["splits"]
    assert {split: splits[split]["digest"][:12] for split in ROWS[name]} == ROWS[name]


def as_before(dataset: Path, folder: Path) -> Path:
    """Copy a dataset, and give it the old names in dataset.json and in its tables."""
    shutil.copytree(dataset, folder)
    for name in ("manifest.parquet", "captions.parquet"):
        if (folder / name).is_file() and "split" in (table := pq.read_table(folder / name)).column_names:
            pq.write_table(with_old_names(table), folder / name)
    described = json.loads((folder / "dataset.json").read_text("utf-8"))
    described["roles"] = {OLD_OF.get(split, split): each for split, each in described.pop("splits").items()}
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def with_old_names(table: pa.Table) -> pa.Table:
    names = pa.array([OLD_OF.get(split, split) for split in table["split"].to_pylist()])
    place = table.column_names.index("split")
    return table.set_column(place, "role", names)


def test_an_old_revision_of_images_is_read_as_the_present_one(tmp_path: Path) -> None:
    """Every split has the same pixels, the manifest the same rows, and the tables of the checks are equal."""
    old = as_before(built_digits(), tmp_path / "old")
    assert "splits" not in json.loads((old / "dataset.json").read_text("utf-8"))
    for split in SPLITS:
        now, before = (load_images(folder, split) for folder in (built_digits(), old))
        assert np.array_equal(now.images_NCHW, before.images_NCHW)
    assert read_manifest(old) == read_manifest(built_digits())
    now, before = (tables_of(folder, read_description(folder)) for folder in (built_digits(), old))
    assert all(before[name].equals(now[name]) for name in ("manifest", "content", "splits"))


def test_an_old_revision_of_recordings_is_read_as_the_present_one(tmp_path: Path) -> None:
    """Each split has the same captions, and the checks find no sentence in two splits."""
    old = as_before(built_stamps_small(), tmp_path / "old")
    for split in SPLITS:
        now, before = (load_captions(folder).of(split) for folder in (built_stamps_small(), old))
        assert (now.names, now.languages) == (before.names, before.languages)
        assert len(now) > 0
    captions = tables_of(old, read_description(old))["captions"]
    assert set(captions["split"]) == set(SPLITS)
    assert (captions["other_splits"] == 0).all()


def test_an_old_revision_grows_under_the_present_names(tmp_path: Path) -> None:
    """A batch that is added to an old revision gives a dataset with the present names only."""
    old = as_before(built_digits(), tmp_path / "old")
    (tmp_path / "new").mkdir()
    extend_dataset(old, tmp_path / "new", [Example("new/1", bytes(64), 3)], {"name": "batch", "sha256": "0" * 64})
    written = json.loads((tmp_path / "new" / "dataset.json").read_text("utf-8"))
    assert set(written["splits"]) == set(SPLITS)
    assert "roles" not in written
    assert "role" not in pq.read_table(tmp_path / "new" / "manifest.parquet").column_names
    assert len(load_images(tmp_path / "new", "train")) == len(load_images(old, "train")) + 1
