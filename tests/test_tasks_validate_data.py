"""Great Expectations on real digits, whole and spoilt: the tables of what each fault must be called."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import Change, built_digits, cell, make_house_of, make_job, pulled, refused, repin

from stillhouse.tasks.artifacts.source_digest import ABSENT
from stillhouse.tasks.data.checks.contract import UNCHECKED
from stillhouse.tasks.data.format.dataset import Example, read_description, write_dataset
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.stages.validate import validate_data

DIGITS = Data(dataset="digits")
SHARD = "train-000.parquet"
MANIFEST = "manifest.parquet"
UNSEEN = 7
SCHEMA_DIFFERS = "shards schema expect_column_values_to_be_in_set 1"
COLUMNS_DIFFER = "manifest id split shard row label sha256 expect_table_columns_to_match_ordered_list None"


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the digits, to be spoilt, into a house of their own."""
    return make_house_of(built_digits(), tmp_path, monkeypatch)


def test_real_digits_pass(dataset: Path, tmp_path: Path) -> None:
    """Sound data meets every expectation and leaves Data Docs that name no folder of this machine."""
    job = make_job(tmp_path / "job", DIGITS, {"data": pulled(dataset, tmp_path / "pulled")})
    metrics = validate_data(job)
    assert metrics == {"expectations": 33.0, "passed": 33.0, "rows": 1797.0}
    pages = list((job.out / "data_docs").rglob("*.html"))
    assert job.out / "data_docs" / "index.html" in pages
    assert len(pages) == 9
    assert not any(str(tmp_path) in page.read_text() for page in pages)
    assert sum(path.stat().st_size for path in job.out.rglob("*") if path.is_file()) < 1_000_000


def test_data_is_decoded_and_not_checked_without_great_expectations(dataset: Path, tmp_path: Path) -> None:
    """The stage says so in validation.json and in its metrics, and leaves no Data Docs."""
    job = make_job(tmp_path / "job", DIGITS, {"data": pulled(dataset, tmp_path / "pulled")})
    assert validate_data(replace(job, outside={"great_expectations": ABSENT})) == {
        "expectations": 0.0, "passed": 0.0, "rows": 1797.0,
    }  # fmt: skip
    assert json.loads((job.out / "validation.json").read_text()) == {"unchecked": UNCHECKED}
    assert [path.name for path in job.out.iterdir()] == ["validation.json"]


def test_the_outcome_is_the_same_every_time(dataset: Path, tmp_path: Path) -> None:
    """validation.json has the same bytes on every run over the same data."""
    data = pulled(dataset, tmp_path / "pulled")
    jobs = [make_job(tmp_path / f"job{number}", DIGITS, {"data": data}) for number in range(2)]
    for job in jobs:
        validate_data(job)
    assert len({(job.out / "validation.json").read_bytes() for job in jobs}) == 1


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (
            MANIFEST,
            {
                "manifest label expect_column_values_to_not_be_null 1": cell("label", 0, None),
                "manifest label expect_column_values_to_be_in_set 1": cell("label", 1, 10),
                "manifest split expect_column_values_to_be_in_set 1": cell("split", 2, "spare"),
                "manifest sha256 expect_column_values_to_match_regex 1": cell("sha256", 3, "short"),
                "content sha256 manifest_sha256 expect_column_pair_values_to_be_equal 4": cell("sha256", 4, "0" * 64),
                "manifest shard row expect_compound_columns_to_be_unique 2": cell("row", 5, 6),
                "splits digest expected_digest expect_column_pair_values_to_be_equal 1": cell("id", 7, "all/unknown"),
            },
        ),
        (
            SHARD,
            {
                "content label manifest_label expect_column_pair_values_to_be_equal 1": cell("label", 0, None),
                "content image_bytes expect_column_values_to_not_be_null 1": cell("image", 1, None),
                "content image_bytes expect_column_values_to_be_in_set 1": cell("image", 2, b"1" * 63),
                "content maximum expect_column_values_to_be_between 1": cell("image", 3, b"\x11" * 63 + b"\0"),
                "content maximum minimum expect_column_pair_values_a_to_be_greater_than_b 1": cell(
                    "image", 4, bytes(64)
                ),
            },
        ),
        (
            MANIFEST,
            {
                "manifest expect_table_row_count_to_equal None": lambda table: table.slice(1),
                "splits rows expected_rows expect_column_pair_values_to_be_equal 1": lambda table: table,
            },
        ),
        (MANIFEST, {COLUMNS_DIFFER: lambda table: table.drop_columns(["split"])}),
        (SHARD, {"shards rows expected_rows expect_column_pair_values_to_be_equal 1": lambda table: table.slice(1)}),
        (SHARD, {SCHEMA_DIFFERS: lambda table: table.drop_columns(["image"])}),
    ],
)
def test_each_fault_of_a_table_is_found(dataset: Path, tmp_path: Path, file: str, changes: dict[str, Change]) -> None:
    """Every fault put into a shard or the manifest fails the expectation that names it, with the rows at fault."""
    table = pq.read_table(dataset / file)
    for change in changes.values():
        table = change(table)
    pq.write_table(table, dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert set(changes) <= failures, failures


def _examples(folder: Path, described: dict[str, Any]) -> dict[str, list[Example]]:
    splits = {}
    for split, each in described["splits"].items():
        tables = [pq.read_table(folder / shard["path"]) for shard in each["shards"]]
        splits[split] = [Example(**row) for row in pa.concat_tables(tables).to_pylist()]
    return splits


def test_each_fault_of_a_split_is_found(dataset: Path, tmp_path: Path) -> None:
    """A duplicate across splits, a repeated id and a label the gate lacks are refused though every digest is right."""
    described = read_description(dataset)
    splits = _examples(dataset, described)
    tested, validated = splits["test"][0], splits["validation"][1]
    splits["train"][0] = Example("all/leaked", tested.image, tested.label)
    splits["validation"][1] = Example(splits["validation"][0].id, validated.image, validated.label)
    splits["gate"] = [example for example in splits["gate"] if example.label != UNSEEN]
    shutil.rmtree(dataset)
    _write(dataset, described, splits)
    failures, sentence = refused(dataset, tmp_path)
    assert failures == {
        "manifest sha256 expect_column_values_to_be_unique 2",
        "manifest id expect_column_values_to_be_unique 2",
        "splits missing_labels expect_column_values_to_be_in_set 1",
    }
    rows = sum(len(examples) for examples in splits.values())
    assert "fails 3 of 33 expectations: manifest id" in sentence
    assert f"manifest sha256 expect_column_values_to_be_unique (2 of {rows} rows)" in sentence


def test_a_nan_is_named(dataset: Path, tmp_path: Path) -> None:
    """A NaN among decoded values of a floating-point dataset is refused."""
    described = read_description(dataset)
    splits = _examples(dataset, described)
    for examples in splits.values():
        examples[:] = [Example(e.id, _floats(e.image).tobytes(), e.label) for e in examples]
    spoilt = _floats(bytes(range(64)))
    spoilt[5] = np.nan
    splits["train"][3] = Example(splits["train"][3].id, spoilt.tobytes(), 3)
    shutil.rmtree(dataset)
    _write(dataset, described | {"dtype": "float32", "value_range": [0, 63]}, splits)
    failures, _ = refused(dataset, tmp_path)
    assert failures == {"content nan_values expect_column_values_to_be_in_set 1"}


def test_an_unreadable_shard_is_named(dataset: Path, tmp_path: Path) -> None:
    """A shard that is no Parquet file is a failed expectation, not a crash."""
    (dataset / SHARD).write_bytes(b"no parquet at all")
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert SCHEMA_DIFFERS in failures


def _floats(image: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.frombuffer(image, np.uint8).astype(np.float32)


def _write(dataset: Path, described: dict[str, Any], splits: dict[str, list[Example]]) -> None:
    dataset.mkdir()
    pinned = ("splits", "manifest", "licence_file")
    write_dataset(dataset, {key: described[key] for key in described if key not in pinned}, b"licence", splits, {})
