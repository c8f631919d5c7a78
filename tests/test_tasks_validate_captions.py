"""Great Expectations on real emoji, whole and spoilt: colour drawings and captions."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from data_samples import Change, built_emoji_small, cell, make_house_of, make_job, pulled, refused, repin

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.stages.validate import validate_data

CAPTIONS = "captions.parquet"
SHARD = "gate-000.parquet"
SHOWS_NOTHING = "content maximum minimum expect_column_pair_values_a_to_be_greater_than_b 1"
NO_CAPTIONS = "captions label language name tags bad_tags expect_table_columns_to_match_ordered_list None"


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the small emoji, to be spoilt, into a house of their own."""
    return make_house_of(built_emoji_small(), tmp_path, monkeypatch)


def test_real_emoji_pass(dataset: Path, tmp_path: Path) -> None:
    """Drawings and captions meet every expectation; only a dataset with captions has those of captions."""
    job = make_job(tmp_path / "job", Data(dataset="emoji_small"), {"data": pulled(dataset, tmp_path / "pulled")})
    assert validate_data(job) == {"expectations": 45.0, "passed": 45.0, "rows": 384.0}


def _without(row: int) -> Change:
    return lambda table: pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (
            CAPTIONS,
            {
                # One name is gone, and two rows below leave their label without a caption in their language.
                "captions name expect_column_values_to_not_be_null 3": cell("name", 0, None),
                "captions name expect_column_values_to_match_regex 2": lambda table: cell("name", 1, "")(
                    cell("name", 2, " \u3000")(table)
                ),
                "captions name expect_column_values_to_not_match_regex 1": cell("name", 3, "face\x07"),
                "captions language expect_column_values_to_be_in_set 1": cell("language", 4, "tlh"),
                "captions label expect_column_values_to_be_between 1": cell("label", 8, 64),
                "captions tags expect_column_values_to_be_between 1": cell("tags", 9, []),
                "captions bad_tags expect_column_values_to_be_in_set 2": lambda table: cell("tags", 10, [" ", None])(
                    cell("tags", 11, ["sun\n"])(table)
                ),
            },
        ),
        (CAPTIONS, {"captions label language expect_compound_columns_to_be_unique 2": cell("language", 0, "de")}),
        (CAPTIONS, {"captions name expect_column_values_to_not_be_null 1": _without(7)}),
        (CAPTIONS, {NO_CAPTIONS: lambda table: table.drop_columns(["tags"])}),
        (SHARD, {SHOWS_NOTHING: cell("image", 5, b"\xff" * 3 * 64 * 64)}),
    ],
)
def test_each_fault_is_found(dataset: Path, tmp_path: Path, file: str, changes: dict[str, Change]) -> None:
    """Every fault put into captions or drawings fails the expectation that names it, with the rows at fault."""
    table = pq.read_table(dataset / file)
    for change in changes.values():
        table = change(table)
    pq.write_table(table, dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert set(changes) <= failures, failures


def test_a_missing_language_is_counted_by_row(dataset: Path, tmp_path: Path) -> None:
    """Captions that leave one of the described languages out are refused, a row for each label."""
    table = pq.read_table(dataset / CAPTIONS)
    kept = table.filter(pc.not_equal(table["language"], "ja"))
    pq.write_table(kept, dataset / CAPTIONS)
    described = read_description(dataset)
    described["captions"]["rows"] = len(kept)
    write_json(dataset / "dataset.json", described)
    repin(dataset)
    failures, sentence = refused(dataset, tmp_path)
    assert failures == {
        "captions name expect_column_values_to_not_be_null 64",
        "captions expect_table_row_count_to_equal None",
    }
    assert "captions name expect_column_values_to_not_be_null (64 of 192 rows)" in sentence


@pytest.mark.parametrize(
    ("file", "failure"),
    [(CAPTIONS, NO_CAPTIONS), (SHARD, "shards schema expect_column_values_to_be_in_set 1")],
)
def test_an_unreadable_file_is_named(dataset: Path, tmp_path: Path, file: str, failure: str) -> None:
    """Captions or a shard that are no Parquet file are a failed expectation, not a crash."""
    shutil.copy(dataset / "LICENSE.txt", dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert failure in failures
