"""Emoji from their npm packages: what the small dataset holds, and how a source that cannot be had is named."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from data_samples import built_digits, built_emoji_small, digest_of, quiet

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.images import load_images
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.format.dataset import SPLITS, fault_of, read_description
from stillhouse.tasks.data.sources import emoji
from stillhouse.tasks.data.sources.drawing import IconSet, draw
from stillhouse.tasks.data.sources.emoji_names import by_code_point, by_name, concepts_of, list_known_names
from stillhouse.tasks.data.sources.npm import Package, download
from stillhouse.tasks.data.store.build_data import EMOJI, EMOJI_SMALL, PLANS
from stillhouse.tasks.data.store.remote import list_folder
from stillhouse.tasks.errors import DataError

SMALL = PLANS["emoji_small"]
STYLES = {
    "train": {"noto-v1", "emojione", "fluent-emoji-flat"},
    "calibration": {"noto-v1"},
    "validation": {"fxemoji"},
    "gate": {"twemoji"},
    "test": {"openmoji"},
}


def test_each_split_has_its_styles() -> None:
    """Every label is drawn once in each judged style, and no judged style is seen in training."""
    manifest = pq.read_table(built_emoji_small() / "manifest.parquet").to_pandas()
    assert manifest["split"].value_counts().to_dict() == {
        "train": 160, "calibration": 32, "validation": 64, "gate": 64, "test": 64,
    }  # fmt: skip
    styles = manifest["id"].str.split("/").str[0].groupby(manifest["split"]).agg(set).to_dict()
    assert styles == STYLES
    for split in ("train", "validation", "gate", "test"):
        assert set(manifest["label"][manifest["split"] == split]) == set(range(64))
    assert manifest["sha256"].is_unique


def test_no_sibling_of_a_judged_style_is_in_training() -> None:
    """The styles of the whole dataset are told apart by family, and a family stands on one side."""
    used = {(style, split) for split, style, _ in PLANS["emoji"].splits}
    judged = {style for style, split in used if split in {"validation", "gate", "test"}}
    assert judged == {"fxemoji", "twemoji", "openmoji"}
    assert {style.split("-")[0] for style in EMOJI.any_of} == {"noto", "emojione", "fluent"}
    assert {split for _, split in used} == set(SPLITS)


def test_drawings_are_colour_on_white() -> None:
    """Drawings are 3 x 64 x 64 pixels, in colour, with white corners."""
    images = load_images(built_emoji_small(), "train").images_NCHW
    assert images.shape == (160, 3, 64, 64)
    assert (np.ptp(images, axis=1).max(axis=(1, 2)) > 0).mean() > 0.9
    assert (images[:, :, 0, 0] == 255).mean() > 0.9


def test_captions_name_every_label_in_every_language() -> None:
    """A label has one name and some tags in each language."""
    folder = built_emoji_small()
    captions, described = load_captions(folder), read_description(folder)
    assert len(captions) == described["captions"]["rows"] == 3 * 64
    assert described["languages"] == ["en", "de", "ja"]
    assert captions.languages == ["en", "de", "ja"] * 64
    assert captions.labels_N.tolist() == [label for label in range(64) for _ in range(3)]
    heart = captions.names.index("beating heart")
    assert described["labels"][captions.labels_N[heart]] == "1f493"
    assert captions.names[heart : heart + 3] == ["beating heart", "schlagendes Herz", "ドキドキするハート"]
    assert "pulsating" in captions.tags[heart]


def test_a_dataset_without_captions_says_so() -> None:
    """The digits have no captions, and keep the description they always had."""
    assert {"captions", "languages"}.isdisjoint(read_description(built_digits()))
    with pytest.raises(ModelError, match=r"^digits has no captions; name a dataset with captions in"):
        load_captions(built_digits())


def test_a_second_build_has_the_same_bytes(tmp_path: Path) -> None:
    """Building the small emoji again changes no byte of any file."""
    SMALL.build(tmp_path / "again", "emoji_small", quiet)
    assert list_folder(tmp_path / "again") == list_folder(built_emoji_small())


def test_altered_captions_are_found(tmp_path: Path) -> None:
    """Captions are pinned by dataset.json as every other file is."""
    shutil.copytree(built_emoji_small(), tmp_path / "emoji_small")
    digest = digest_of(tmp_path / "emoji_small")
    assert fault_of(tmp_path / "emoji_small", digest) == ""
    (tmp_path / "emoji_small" / "captions.parquet").write_bytes(b"other words")
    assert fault_of(tmp_path / "emoji_small", digest) == "captions.parquet is missing, truncated or altered"


def test_every_publisher_is_named() -> None:
    """LICENSE.txt has each set's author and licence, and the licence of the names."""
    text = (built_emoji_small() / "LICENSE.txt").read_text()
    for style in EMOJI_SMALL.styles:
        assert f"@iconify-json/{style}@" in text
    assert "by OpenMoji, https://github.com/hfg-gmuend/openmoji\nCC BY-SA 4.0 (CC-BY-SA-4.0)" in text
    assert "Permission is hereby granted" in text
    assert read_description(built_emoji_small())["licence"] == "Apache-2.0 AND CC-BY-4.0 AND CC-BY-SA-4.0 AND MIT"


def test_an_altered_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tarball with other bytes than the pinned ones stops the build."""
    spoilt = dataclasses.replace(emoji.DRAWINGS["fxemoji"], sha256="0" * 64)
    monkeypatch.setitem(emoji.DRAWINGS, "fxemoji", spoilt)
    with pytest.raises(
        DataError, match=r"^source @iconify-json/fxemoji@1\.2\.2: iconify-json-fxemoji-1\.2\.2\.tgz is not"
    ):
        SMALL.build(tmp_path / "emoji_small", "emoji_small", quiet)
    assert not (tmp_path / "emoji_small").exists()


def test_a_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm the emoji are refused with the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"emojibase-data@17\.0\.0, .* \(npm is not installed\); install npm, or"):
        SMALL.build(tmp_path / "emoji_small", "emoji_small", quiet)


def test_what_npm_cannot_fetch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that does not answer ends in npm's own complaint."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path))
    with pytest.raises(
        DataError, match=r"source is-odd@3\.0\.0 cannot be downloaded \(.*ECONNREFUSED.*\); install npm"
    ):
        download([Package("is-odd@3.0.0", "0" * 64)])


ENTRIES = (
    {"hexcode": "2764-FE0F", "label": "red heart", "group": 0},
    {"hexcode": "1F40B", "label": "large whale", "group": 3},
    {"hexcode": "1F3FB", "label": "light skin tone", "group": 2},
    {"hexcode": "1F1E6", "label": "regional indicator A"},
)


def test_drawings_are_matched_by_code_point_or_name() -> None:
    """A set with code points is matched by them, one without by others' names, English labels and Unicode's names."""
    concepts = concepts_of(ENTRIES)
    codes = {"2764": "heart", "2764-fe0f": "heart-again", "1f3fb": "tone"}
    known = list_known_names([codes], concepts)
    assert list(concepts) == ["2764", "1f40b"]
    assert by_code_point(codes, concepts) == {"2764": "heart"}
    assert by_name(["heart-again", "unheard-of", "heart"], known) == {"2764": "heart-again"}
    assert by_name(["large-whale"], known) == {"1f40b": "large-whale"}
    assert by_name(["whale"], known) == {"1f40b": "whale"}


SQUARE = '<path fill="red" d="M0 0h4v8H0z"/>'


def test_only_plain_aliases_are_drawings_of_their_own() -> None:
    """An alias that mirrors its parent is left out; a plain one draws what its parent draws."""
    aliases = {"same": {"parent": "half"}, "mirrored": {"parent": "half", "hFlip": True}}
    icons = IconSet({"icons": {"half": {"body": SQUARE}}, "aliases": aliases, "width": 8, "height": 8})
    assert icons.names == ["half", "same"]
    pixels_CHW = draw(icons.svg("same"))
    assert pixels_CHW[:, 32, 16].tolist() == [255, 0, 0]
    assert pixels_CHW[:, 32, 48].tolist() == [255, 255, 255]


def test_fonts_of_the_machine_are_not_drawn() -> None:
    """Text draws nothing, whatever fonts are installed."""
    assert (
        draw('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><text y="40">A</text></svg>').min() == 255
    )


def test_what_cannot_be_drawn_is_named_and_counted() -> None:
    """A drawing that the renderer refuses is shown by concept; of two that are the same the first stays."""
    square = f'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">{SQUARE}</svg>'
    lines: list[str] = []
    documents = {"2764": square, "1f40b": square, "1f600": "<svg"}
    drawn = emoji._draw_all("emoji: sketch", ["2764", "1f40b", "1f600", "1f493"], documents, lines.append)  # noqa: SLF001 - the pinned sets have no such drawing
    assert list(drawn) == ["2764"]
    (line,) = lines
    assert line.startswith("emoji: sketch: 1 drawings, 1 more repeat one of them; 1f600 cannot be rendered (")
