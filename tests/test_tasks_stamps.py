"""Stamps from their Debian package: what the small dataset holds, and how a source that cannot be had is named."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from data_samples import built_stamps_small, digest_of, quiet

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.images import load_gallery
from stillhouse.models.data.sound.audio import load_recordings, waveform_of
from stillhouse.tasks.data.format.dataset import SPLITS, fault_of, read_description
from stillhouse.tasks.data.sources import stamps
from stillhouse.tasks.data.sources.debian import download, unpack_package
from stillhouse.tasks.data.sources.pairs import deal
from stillhouse.tasks.data.sources.stamp_files import Stamp, captions_in, categories_of, stamps_among
from stillhouse.tasks.data.store.build_data import PLANS
from stillhouse.tasks.data.store.remote import list_folder
from stillhouse.tasks.errors import DataError

SMALL = PLANS["stamps_small"]
COUNTS = {"train": 64, "gate": 24, "test": 13, "validation": 10, "calibration": 9}


def test_each_split_has_its_recordings() -> None:
    """Forty stamps have three recordings each, and every split has some of them."""
    folder = built_stamps_small()
    described = read_description(folder)
    assert {split: each["count"] for split, each in described["splits"].items()} == COUNTS
    assert (len(described["labels"]), described["languages"]) == (40, ["en", "es", "fr", "ru"])
    manifest = pq.read_table(folder / "manifest.parquet").to_pandas()
    assert manifest.columns.tolist() == ["id", "split", "shard", "row", "label", "language", "sha256"]
    assert set(zip(manifest["label"], manifest["language"], strict=True)) == {
        (label, language) for label in range(40) for language in ("es", "fr", "ru")
    }
    labels = described["labels"]
    assert manifest["id"].tolist() == [
        f"{labels[label]}/{language}" for label, language in zip(manifest["label"], manifest["language"], strict=True)
    ]


def test_no_held_out_sentence_is_in_training() -> None:
    """Splits are disjoint by recording, by pair and by sentence, and a recording has the split of its caption."""
    folder = built_stamps_small()
    manifest = pq.read_table(folder / "manifest.parquet").to_pandas()
    captions = pq.read_table(folder / "captions.parquet").to_pandas()
    assert manifest["sha256"].is_unique
    assert captions.groupby(captions["name"].str.casefold())["split"].nunique().max() == 1
    joined = manifest.merge(captions, on=["label", "language"], validate="one_to_one")
    assert joined["split_x"].tolist() == joined["split_y"].tolist()
    assert len(joined) == 120
    trained = manifest["label"][manifest["split"] == "train"]
    assert set(trained) == set(range(40))


def test_captions_have_roles_and_categories() -> None:
    """A caption has a split; its tags are the stamp's categories."""
    captions = load_captions(built_stamps_small())
    labels = read_description(built_stamps_small())["labels"]
    assert len(captions) == 160
    assert captions.languages == ["en", "es", "fr", "ru"] * 40
    assert set(captions.splits or ()) == set(SPLITS)
    assert captions.tags == [categories_of(labels[label]) for label in captions.labels_N]
    assert not [name for name in captions.names if name != name.strip() or not name]


def test_every_label_has_one_picture_on_white() -> None:
    """The gallery has a colour picture of each label, no two the same."""
    gallery = load_gallery(built_stamps_small())
    assert gallery.images_NCHW.shape == (40, 3, 64, 64)
    assert gallery.labels_N.tolist() == list(range(40))
    assert len({image_CHW.tobytes() for image_CHW in gallery.images_NCHW}) == 40
    assert (gallery.images_NCHW[:, :, 0, 0] == 255).mean() > 0.7
    assert (np.ptp(gallery.images_NCHW, axis=1).max(axis=(1, 2)) > 0).mean() > 0.7


def test_every_recording_is_original_and_can_be_heard() -> None:
    """Recordings are the publisher's Ogg files, and each has a waveform."""
    recordings = load_recordings(built_stamps_small(), "validation")
    assert len(recordings) == len(recordings.languages) == len(recordings.labels_N) == 10
    for content in recordings.audio:
        assert content.startswith(b"OggS")
        assert 1_600 <= len(waveform_of(content)) <= 64_000


@pytest.mark.long
def test_a_second_build_has_the_same_bytes(tmp_path: Path) -> None:
    """Building the small stamps again changes no byte of any file."""
    SMALL.build(tmp_path / "again", "stamps_small", quiet)
    assert list_folder(tmp_path / "again") == list_folder(built_stamps_small())


@pytest.mark.parametrize("file", ["gallery.parquet", "captions.parquet", "gate-000.parquet"])
def test_an_altered_file_is_found(tmp_path: Path, file: str) -> None:
    """Gallery, captions and shards are pinned by dataset.json."""
    for each in built_stamps_small().iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    assert fault_of(tmp_path, digest_of(tmp_path)) == ""
    (tmp_path / file).write_bytes(b"other bytes")
    assert fault_of(tmp_path, digest_of(tmp_path)) == f"{file} is missing, truncated or altered"


def test_the_licence_is_the_publishers() -> None:
    """LICENSE.txt is Debian's own notice for the package."""
    text = (built_stamps_small() / "LICENSE.txt").read_text()
    assert "Bill Kendrick" in text
    assert "either version 2 of the License, or\n (at your option) any later version" in text
    assert read_description(built_stamps_small())["licence"] == "GPL-2.0-or-later"


def test_an_altered_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with other files than the pinned ones stops the build."""
    monkeypatch.setattr(stamps, "SHA256", "0" * 64)
    with pytest.raises(
        DataError,
        match=r"^source tuxpaint-stamps-default is not the pinned 2022\.06\.04-1 .*; install that version, or",
    ):
        SMALL.build(tmp_path / "stamps_small", "stamps_small", quiet)
    assert not (tmp_path / "stamps_small").exists()


def test_a_package_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Debian's client, or for a package it does not know, the remedy is named."""
    with pytest.raises(DataError, match=r"^source no-such-stamps cannot be downloaded \(E: .*no-such-stamps\); check"):
        download("no-such-stamps", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DataError,
        match=r"^source no-such-stamps cannot .*\(apt-get is not installed\); .*`apt-get install no-such-stamps`",
    ):
        unpack_package("no-such-stamps")


def test_a_package_is_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two datasets of one process share the unpacked package."""
    first = unpack_package("dataset-fashion-mnist")
    monkeypatch.setenv("PATH", "")
    assert unpack_package("dataset-fashion-mnist") == first


def test_captions_are_a_line_for_each_language() -> None:
    """The first line is English; blank sentences, control characters and lines of another form are left out."""
    text = "A duck.\nfr.utf8=Un canard. \nde.utf8=\nlv.utf8=P\x93\u012ble\nnonsense\nca@valencia.utf8=x=y\n"
    assert captions_in(text) == {"en": "A duck.", "fr": "Un canard.", "lv": "P\u012ble", "ca@valencia": "x=y"}
    assert captions_in("") == {}


def test_a_stamp_has_a_picture_and_a_caption(tmp_path: Path) -> None:
    """Files that share a name are one stamp; sound effects, mirror images and uncaptioned speech are no part of it."""
    for name in ("duck", "goose", "toad"):
        (tmp_path / f"{name}.txt").write_text(
            "A bird.\nfr.utf8=Un oiseau.\n" if name != "toad" else "\nfr.utf8=Crapaud"
        )
    names = [
        "duck.txt", "duck.svg", "duck.png", "duck_mirror.png", "duck.ogg", "duck_desc.ogg", "duck_desc_fr.ogg",
        "duck_desc_ro.ogg", "goose.txt", "goose_desc_fr.ogg", "toad.txt", "toad.png",
    ]  # fmt: skip
    duck = Stamp("duck", "duck.png", {"en": "A bird.", "fr": "Un oiseau."}, {"fr": "duck_desc_fr.ogg"})
    assert list(stamps_among(tmp_path, names)) == [duck]


def test_a_sentence_is_dealt_whole() -> None:
    """Pairs that say the same, in any language or case, have one split; the shares are those of the pairs."""
    sentences = {
        (label, language): f"{label // 2} {language[0]}" for label in range(100) for language in ("pt", "Pa", "fr")
    }
    splits = deal(sentences, sentences.keys(), (("test", 0.2), ("gate", 0.1)))
    assert splits == deal(sentences, sentences.keys(), (("test", 0.2), ("gate", 0.1)))
    said: dict[str, set[str]] = {}
    for pair, split in splits.items():
        said.setdefault(sentences[pair].casefold(), set()).add(split)
    assert {len(each) for each in said.values()} == {1}
    counts = {split: list(splits.values()).count(split) for split in ("test", "gate", "train")}
    assert 60 <= counts["test"] <= 63
    assert 30 <= counts["gate"] <= 33


def test_no_label_loses_its_last_recording() -> None:
    """A label with a single recording keeps it for training, however large the shares are."""
    sentences = {(label, language): f"{label} {language}" for label in range(20) for language in ("en", "fr")}
    recorded = {(label, "fr") for label in range(20)}
    splits = deal(sentences, recorded, (("test", 0.25), ("gate", 0.25)))
    assert {splits[pair] for pair in recorded} == {"train"}
    assert {splits[label, "en"] for label in range(20)} == {"test", "gate"}
