"""Great Expectations on real stamps, whole and spoilt: recordings, gallery, and what each label has."""

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import soundfile
from data_samples import Change, built_stamps_small, cell, make_house_of, make_job, pulled, refused, repin

from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.stages.validate import validate_data

SHARD = "gate-000.parquet"
CAPTIONS = "captions.parquet"
GALLERY = "gallery.parquet"
MANIFEST = "manifest.parquet"
WHITE = b"\xff" * 3 * 64 * 64
SHOWS_NOTHING = "gallery maximum minimum expect_column_pair_values_a_to_be_greater_than_b 1"
NO_CAPTIONS = (
    "captions label language name tags bad_tags split other_splits expect_table_columns_to_match_ordered_list None"
)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the small stamps, to be spoilt, into a house of their own."""
    return make_house_of(built_stamps_small(), tmp_path, monkeypatch)


def _sound(seconds: float, height: float = 0.5, rate: int = 44_100) -> bytes:
    stream = io.BytesIO()
    tone_T = height * np.sin(np.arange(round(seconds * rate)) / 20)
    soundfile.write(stream, tone_T, rate, format="OGG", subtype="VORBIS")
    return stream.getvalue()


def _without(*rows: int) -> Change:
    return lambda table: table.filter(pa.array([row not in rows for row in range(len(table))]))


def _repeated(table: pa.Table) -> pa.Table:
    return cell("image", 7, table["image"][8].as_py())(table)


def test_real_stamps_pass(dataset: Path, tmp_path: Path) -> None:
    """Recordings, captions and pictures meet every expectation."""
    job = make_job(tmp_path / "job", Data(dataset="stamps_small"), {"data": pulled(dataset, tmp_path / "pulled")})
    assert validate_data(job) == {"expectations": 62.0, "passed": 62.0, "rows": 120.0}


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (
            SHARD,
            {
                "recordings seconds expect_column_values_to_not_be_null 2": lambda table: cell("audio", 0, b"OggS")(
                    cell("audio", 1, b"")(table)
                ),
                "recordings peak expect_column_values_to_be_between 1": cell("audio", 2, _sound(1, height=0)),
                "recordings seconds expect_column_values_to_be_between 2": lambda table: cell("audio", 3, _sound(0.15))(
                    cell("audio", 4, _sound(11))(table)
                ),
                "recordings sample_rate expect_column_values_to_be_in_set 1": cell("audio", 5, _sound(1, rate=22_050)),
                # The six above have other digests than the manifest says, too.
                "recordings sha256 manifest_sha256 expect_column_pair_values_to_be_equal 6": lambda table: table,
                "recordings language expect_column_values_to_be_in_set 1": cell("language", 6, "tlh"),
                "recordings language manifest_language expect_column_pair_values_to_be_equal 1": lambda table: table,
                "recordings split caption_split expect_column_pair_values_to_be_equal 1": lambda table: table,
            },
        ),
        (
            CAPTIONS,
            {
                "captions name expect_column_values_to_match_regex 1": cell("name", 0, " "),
                "captions name expect_column_values_to_not_be_null 1": cell("name", 1, None),
                "captions split expect_column_values_to_be_in_set 1": cell("split", 4, "exam"),
                "captions language expect_column_values_to_be_in_set 1": cell("language", 5, "tlh"),
                "captions tags expect_column_values_to_be_between 1": cell("tags", 6, []),
            },
        ),
        # A recording in training whose caption is judged, or has none.
        (CAPTIONS, {"recordings split caption_split expect_column_pair_values_to_be_equal 3": _without(1, 2, 3)}),
        # All that a label has in words is gone.
        (
            CAPTIONS,
            {
                "labels captions expect_column_values_to_be_between 1": _without(0, 1, 2, 3),
                "labels training_captions expect_column_values_to_be_between 1": lambda table: table,
            },
        ),
        (
            GALLERY,
            {
                "labels pictures expect_column_values_to_be_in_set 2": _without(3, 4),
                "gallery expect_table_row_count_to_equal None": lambda table: table,
            },
        ),
        pytest.param(
            GALLERY,
            {"labels pictures expect_column_values_to_be_in_set 2": cell("label", 0, 1)},
            marks=pytest.mark.long,
        ),
        (GALLERY, {SHOWS_NOTHING: cell("image", 5, WHITE)}),
        pytest.param(
            GALLERY,
            {"gallery image_bytes expect_column_values_to_be_in_set 1": cell("image", 6, WHITE[1:])},
            marks=pytest.mark.long,
        ),
        pytest.param(
            GALLERY, {"gallery sha256 expect_column_values_to_be_unique 2": _repeated}, marks=pytest.mark.long
        ),
    ],
)
def test_each_fault_is_found(dataset: Path, tmp_path: Path, file: str, changes: dict[str, Change]) -> None:
    """Every fault put into recordings, captions or pictures fails the expectation that names it, with the rows."""
    table = pq.read_table(dataset / file)
    for change in changes.values():
        table = change(table)
    pq.write_table(table, dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert set(changes) <= failures, failures


def test_a_judged_sentence_in_training_is_found(dataset: Path, tmp_path: Path) -> None:
    """A held-out caption that says, in capitals, what a training caption says is refused on both sides."""
    table = pq.read_table(dataset / CAPTIONS)
    splits = table["split"].to_pylist()
    said = table["name"][splits.index("train")].as_py()
    pq.write_table(cell("name", splits.index("test"), said.upper())(table), dataset / CAPTIONS)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert failures == {"captions other_splits expect_column_values_to_be_in_set 2"}


def test_a_label_without_a_recording_is_counted(dataset: Path, tmp_path: Path) -> None:
    """A label whose recordings all carry another label's number has lost a modality."""
    for path in dataset.glob("*-000.parquet"):
        table = pq.read_table(path)
        labels = pc.if_else(pc.equal(table["label"], 7), 8, table["label"])
        pq.write_table(table.set_column(2, "label", labels), path)
    repin(dataset)
    failures, sentence = refused(dataset, tmp_path)
    assert {
        "labels recordings expect_column_values_to_be_between 1",
        "labels training_recordings expect_column_values_to_be_between 1",
        "recordings label manifest_label expect_column_pair_values_to_be_equal 3",
    } <= failures
    assert "(1 of 40 rows)" in sentence


def test_a_recording_twice_is_found(dataset: Path, tmp_path: Path) -> None:
    """The same recording in two splits is one digest twice in the manifest."""
    manifest = pq.read_table(dataset / MANIFEST)
    twice = cell("sha256", 0, manifest["sha256"][100].as_py())(manifest)
    pq.write_table(twice, dataset / MANIFEST)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert "manifest sha256 expect_column_values_to_be_unique 2" in failures


@pytest.mark.parametrize(
    ("file", "failure"),
    [
        (CAPTIONS, NO_CAPTIONS),
        (GALLERY, "labels pictures expect_column_values_to_be_in_set 40"),
        (SHARD, "shards schema expect_column_values_to_be_in_set 1"),
    ],
)
def test_an_unreadable_file_is_named(dataset: Path, tmp_path: Path, file: str, failure: str) -> None:
    """A file that is no Parquet file is a failed expectation, not a crash."""
    shutil.copy(dataset / "LICENSE.txt", dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert failure in failures
