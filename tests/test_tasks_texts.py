"""Datasets of texts: read, checked whole and spoilt, and cut to an excerpt."""

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import Change, built_digits, cell, make_house_of, make_job, pulled, refused, repin
from text_samples import sentences, write_texts

from stillhouse.models.data.images import load_images
from stillhouse.models.data.texts import load_text_labels, load_texts, normalise
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.format.dataset import SPLITS, fault_of, read_description, read_manifest
from stillhouse.tasks.data.format.layout import content_bytes, is_text, layout_of
from stillhouse.tasks.data.store.excerpt import write_excerpt
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.stages.validate import validate_data

SHARD, MANIFEST = "train-000.parquet", "manifest.parquet"


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy texts without labels, to be spoilt, into a house of their own."""
    return make_house_of(write_texts(tmp_path / "built" / "words", sentences(400)), tmp_path / "house", monkeypatch)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("plain", "plain"),
        ("  two\t\nwords\u3000here ", "two words here"),
        (unicodedata.normalize("NFD", "Größe"), "Größe"),
        ("\u2028", ""),
    ],
)
def test_a_text_has_one_normal_form(text: str, normal: str) -> None:
    """Whitespace and the way in which an accent is written do not make another text."""
    assert normalise(text) == normal


def test_texts_and_labels_are_read_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    """Every text comes back in one split, with its label."""
    texts, labels = sentences(300), [number % 3 for number in range(300)]
    folder = write_texts(tmp_path / "rated", texts, labels, ("bad", "fair", "good"))
    found = {}
    for split in SPLITS:
        own = load_texts(folder, split)
        found |= dict(zip(own, load_text_labels(folder, split).tolist(), strict=True))
        rows = [row for row in read_manifest(folder) if row["split"] == split]
        assert [found[text] for text in own] == [row["label"] for row in rows]
    assert found == dict(zip(texts, labels, strict=True))


def test_texts_without_labels_have_the_label_minus_one(dataset: Path) -> None:
    """A reader that needs no labels reads them all the same."""
    labels = load_text_labels(dataset, "gate")
    assert labels.dtype == np.int64
    assert set(labels.tolist()) == {-1}


def test_a_reader_of_another_kind_is_told(dataset: Path) -> None:
    """Texts are no images, images are no texts, and the error names the remedy."""
    with pytest.raises(ModelError, match="words holds no images; name a dataset of images in"):
        load_images(dataset, "train")
    with pytest.raises(ModelError, match="digits holds no texts; name a dataset of texts in"):
        load_texts(built_digits(), "train")
    with pytest.raises(ModelError, match="words has no split 'all'; use one of calibration, gate"):
        load_texts(dataset, "all")


def test_an_estimate_counts_the_mean_text(dataset: Path) -> None:
    """One long text does not make the memory of all."""
    described = read_description(dataset)
    assert is_text(described)
    assert content_bytes(described) == 30
    assert layout_of(described).shard_rows == 16_384


@pytest.mark.parametrize("labelled", [True, False])
def test_sound_texts_pass(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labelled: bool,  # noqa: FBT001 - one of two kinds
) -> None:
    """Texts with labels and without meet every expectation."""
    labels = ([number % 2 for number in range(400)], ("no", "yes")) if labelled else ()
    built = write_texts(tmp_path / "built" / "words", sentences(400), *labels)
    dataset = make_house_of(built, tmp_path / "house", monkeypatch)
    job = make_job(tmp_path / "job", Data(dataset="words"), {"data": pulled(dataset, tmp_path / "pulled")})
    assert validate_data(job) == {"expectations": 32.0, "passed": 32.0, "rows": 400.0}


def bad_bytes(table: pa.Table) -> pa.Table:
    """Put bytes that are no UTF-8 into a column of strings."""
    values = [text.encode() for text in table["text"].to_pylist()]
    values[1] = b"\xff\xfe"
    stored = pa.array(values, pa.binary())
    return table.set_column(1, "text", pa.StringArray.from_buffers(len(stored), *stored.buffers()[1:]))


@pytest.mark.parametrize(
    ("file", "expected", "change"),
    [
        (SHARD, "content characters expect_column_values_to_be_between 1", cell("text", 0, "")),
        (SHARD, "content characters expect_column_values_to_be_between 1", cell("text", 0, "x" * 5_000)),
        (SHARD, "content characters expect_column_values_to_not_be_null 1", bad_bytes),
        (SHARD, "content control_characters expect_column_values_to_be_in_set 1", cell("text", 0, "a\0b")),
        (SHARD, "content normalised expect_column_values_to_be_in_set 1", cell("text", 0, "two  spaces")),
        (SHARD, "content label manifest_label expect_column_pair_values_to_be_equal 1", cell("label", 0, 0)),
        (MANIFEST, "manifest label expect_column_values_to_be_in_set 1", cell("label", 0, 0)),
        (
            MANIFEST,
            "content sha256 manifest_sha256 expect_column_pair_values_to_be_equal 1",
            cell("sha256", 0, "0" * 64),
        ),
    ],
)
def test_each_fault_is_named(dataset: Path, tmp_path: Path, file: str, expected: str, change: Change) -> None:
    """A text that is empty, too long, damaged, not normalised or not that of the manifest fails its expectation."""
    pq.write_table(change(pq.read_table(dataset / file)), dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert expected in failures


def test_one_text_in_two_splits_is_a_leak(dataset: Path, tmp_path: Path) -> None:
    """A digest that is in the manifest twice fails, whichever splits have it."""
    manifest = pq.read_table(dataset / MANIFEST)
    pq.write_table(cell("sha256", 0, manifest["sha256"][-1].as_py())(manifest), dataset / MANIFEST)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert "manifest sha256 expect_column_values_to_be_unique 2" in failures


def test_an_excerpt_of_texts_is_a_whole_dataset(dataset: Path, tmp_path: Path) -> None:
    """Each split keeps some of its own texts, and every file has its digest."""
    (tmp_path / "few").mkdir()
    digest = write_excerpt(dataset, tmp_path / "few", 5)
    assert fault_of(tmp_path / "few", digest) == ""
    for split in SPLITS:
        few = load_texts(tmp_path / "few", split)
        assert 0 < len(few) <= 5
        assert set(few) <= set(load_texts(dataset, split))
