"""What a batch is refused for: each fault is named with its file, and all of the batch goes to quarantine."""

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import built_digits, built_emoji_small, commit_house, make_house
from inbox_samples import (
    FILES,
    at,
    batch_of,
    encoded,
    examples_in,
    fewer_digits,
    ingest_all,
    listed,
    make_house_with_inbox,
    new_digits,
    png,
    send,
    send_digits,
    tags,
)
from PIL import Image

from stillhouse.tasks.data.format.dataset import Example, read_description, write_dataset
from stillhouse.tasks.data.ingest.batch import Contents, examples_of
from stillhouse.tasks.data.ingest.inbox import open_inbox
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.settings import Settings

Files, Entries = dict[str, bytes], dict[str, Any]
Spoil = Callable[[Files, Entries], object]
"""Changes the files, and gives what batch.json then is."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose digits lack sixty."""
    return make_house_with_inbox(tmp_path / "house", monkeypatch)


def with_file(content: bytes, label: str | int = "3") -> Spoil:
    """Put another file, listed as it is, in the place of the first."""

    def spoil(files: Files, entries: Entries) -> Entries:
        files["000.png"] = content
        entries["files"][0] = listed("000.png", content, label)
        return entries

    return spoil


def with_bytes(name: str, change: Callable[[bytes], bytes | None]) -> Spoil:
    """Change what landed of one file, or lose it, without changing batch.json."""

    def spoil(files: Files, entries: Entries) -> Entries:
        changed = change(files.pop(name, b""))
        if changed is not None:
            files[name] = changed
        return entries

    return spoil


def with_entry(**values: Any) -> Spoil:
    """Change the first entry of batch.json."""
    return lambda _files, entries: entries["files"][0].update(values) or entries


def without_label(_files: Files, entries: Entries) -> Entries:
    """Forget what a file is."""
    del entries["files"][0]["label"]
    return entries


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few bytes that claims so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def jpeg(size: tuple[int, int], mode: str = "L") -> bytes:
    return encoded(Image.effect_noise(size, 50).convert(mode), "JPEG")


def keyed() -> bytes:
    """A grey PNG of which one value is transparent."""
    stream = io.BytesIO()
    Image.effect_noise((8, 8), 50).save(stream, "PNG", transparency=3)
    return stream.getvalue()


def gif() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((8, 8), 50).save(stream, "GIF")
    return stream.getvalue()


def grey(value: int) -> bytes:
    return encoded(Image.new("L", (8, 8), value))


def held_out(split: str) -> bytes:
    return png(examples_in(fewer_digits(), split)[0])


FAULTS: dict[str, tuple[Spoil, str]] = {
    "no JSON": (lambda _, entries: json.dumps(entries).encode()[:-9], r"batch\.json does not fit \(all of it: Invalid"),
    "no object": (lambda _files, _entries: [1], r"batch\.json does not fit \(all of it: "),
    "no files": (lambda _files, _entries: {"files": []}, r"does not fit \(files: .*at least 1"),
    "an unknown key": (lambda _, entries: entries | {"sender": "x"}, r"does not fit \(sender: Extra inputs"),
    "an unknown key of a file": (with_entry(size=1), r"does not fit \(files\.0\.size: Extra inputs"),
    "no label": (without_label, r"files\.0\.label: Field req"),
    "a label that is none": (with_entry(label=True), r"files\.0\.label"),
    "a path": (with_entry(name="../../escaped.png"), r"files\.0\.name: String should match"),
    "an absolute path": (with_entry(name="/etc/passwd"), r"files\.0\.name: String should match"),
    "a hidden file": (with_entry(name=".png"), r"files\.0\.name: String should match"),
    "a file twice": (with_entry(name="001.png"), r"batch\.json lists 001\.png more than once"),
    "a file that is missing": (with_bytes("007.png", lambda _: None), r"007\.png is listed and did not land; send"),
    "a file too many": (with_bytes("more.png", lambda _: b"more"), r"more\.png landed and is not listed"),
    "a file in a folder": (with_bytes("sub/more.png", lambda _: b"more"), r"sub/more\.png landed and is not listed"),
    "a truncated file": (with_bytes("009.png", lambda content: content[:50]), r"009\.png is half-uploaded or altered"),
    "an empty file": (with_bytes("009.png", lambda _: b""), r"009\.png is half-uploaded or altered"),
    "an altered file": (with_bytes("009.png", lambda content: content[:-1] + b"x"), r"009\.png is half-uploaded or"),
    "no picture": (with_file(b"no picture at all"), r"000\.png cannot be decoded .*; send a whole PNG or JPEG"),
    "half a picture": (with_file(jpeg((8, 8))[:-60]), r"000\.png cannot be decoded .*; send a whole PNG or JPEG"),
    "another format": (with_file(gif()), r"000\.png cannot be decoded"),
    "a decompression bomb": (with_file(bomb()), r"000\.png cannot be decoded \(Image size \(3600000000 pixels\)"),
    "another size": (with_file(jpeg((16, 8))), r"000\.png is 16 x 8 pixels in mode L where 8 x 8 pixels in mode L is"),
    "another mode": (with_file(jpeg((8, 8), "RGB")), r"000\.png is 8 x 8 pixels in mode RGB where"),
    "transparent pixels": (with_file(keyed()), r"000\.png has transparent pixels, .*; save it without transparency"),
    "too many pixels": (with_file(bomb(9_000)), r"000\.png cannot be decoded: the picture has 9000 x 9000 pixels"),
    "other values": (with_file(jpeg((8, 8))), r"000\.png has values from \d+ to \d+ where 0 to 16 are allowed"),
    "one value": (with_file(grey(7)), r"000\.png shows nothing: all of it is 7"),
    "an unknown label": (with_entry(label="ten"), r"000\.png has the label 'ten', which digits does not have; mend"),
    "an unknown index": (with_entry(label=10), r"000\.png has the label 10, which digits does not have"),
    "a negative index": (with_entry(label=-1), r"000\.png has the label -1, which digits does not have"),
    **{
        f"a picture of {split}": (with_file(held_out(split)), rf"000\.png is held out for {split} as all/\d+, and")
        for split in ("calibration", "validation", "gate", "test")
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_and_the_batch_is_set_aside(house: Settings, fault: str) -> None:
    """Whatever is wrong with a batch, all of it is in quarantine with one sentence, and there is no version."""
    spoil, sentence = FAULTS[fault]
    files, entries = batch_of(new_digits()[:20])
    contents = spoil(files, entries)
    send(house, "monday", files, contents)
    (outcome,) = ingest_all(house)
    assert outcome.state == "quarantined"
    assert outcome.sentence.startswith("digits batch monday: ")
    assert re.search(sentence, outcome.sentence), outcome.sentence
    assert (tags(house), at(house, "incoming"), at(house, "accepted"), at(house, "moving")) == ([], [], [], [])
    kept = {key.removeprefix("digits/monday/") for key in at(house, "quarantine")}
    assert kept == {*files, "batch.json", "reason.txt"}
    folder = house.state / "inbox" / "quarantine" / "digits" / "monday"
    assert (folder / "reason.txt").read_text() == f"{outcome.sentence}\n"


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 1), (8, -1)])
def test_a_picture_taken_sideways_lands_upright(tmp_path: Path, orientation: int, turned: int) -> None:
    """What a camera stored on its side, and says so, becomes data upright, in a size that is not square, too."""
    upright_HW = np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(np.rot90(upright_HW, turned))).save(tmp_path / "a.png", exif=exif)
    contents = Contents.model_validate({"files": [listed("a.png", b"", 0)]})
    described = {"name": "x", "labels": ["a"], "image_shape": [1, 4, 6], "value_range": [0, 255]}
    (example,) = examples_of(tmp_path, contents, described, "x")
    assert np.array_equal(np.frombuffer(example.image, np.uint8).reshape(4, 6), upright_HW)


def test_a_label_that_contradicts_the_dataset_is_named(house: Settings) -> None:
    """The very pixels of a training picture under another label are refused, and so is one picture with two labels."""
    known, fresh = examples_in(fewer_digits(), "train")[0], new_digits()[0]
    other = Example("", known.image, (known.label + 1) % 10)
    send_digits(house, "a", [*new_digits()[1:], other])
    send_digits(house, "b", [*new_digits(), Example("", fresh.image, (fresh.label + 1) % 10)])
    first, second = ingest_all(house)
    assert (
        f"059.png is labelled '{other.label}' where {known.id}, the same picture, is '{known.label}'" in first.sentence
    )
    assert f"where 000.png, the same picture, is '{fresh.label}'; mend one of the labels" in second.sentence


@pytest.mark.parametrize(("wrong", "agree"), [(60, r"\d"), (24, r"[56]\d")])
def test_poisoned_labels_are_caught_with_both_numbers(house: Settings, wrong: int, agree: str) -> None:
    """Labels of which all, or two in five, are wrong set the batch aside, and the next batch is taken all the same."""
    new = new_digits()
    flipped = [Example("", each.image, (each.label + 1) % 10) for each in new[:wrong]] + new[wrong:]
    send_digits(house, "a_poisoned", flipped)
    send_digits(house, "b_sound", new_digits())
    poisoned, sound = ingest_all(house)
    expected = rf"in {agree}% of 60 pictures, at most \d+%, where digits itself has 9\d%; look at the labels"
    assert re.search(expected, poisoned.sentence), poisoned.sentence
    assert sound.state == "accepted"


def test_only_known_pictures_are_nothing_new(house: Settings) -> None:
    """A batch of what is in train already, which never landed as a batch, makes no version and says where they are."""
    send_digits(house, "monday", examples_in(fewer_digits(), "train")[:5])
    (outcome,) = ingest_all(house)
    assert "nothing new: all 5 pictures are in train already, the first as all/" in outcome.sentence
    assert tags(house) == []


def test_a_picture_twice_in_a_batch_is_taken_once(house: Settings) -> None:
    """Two files of the same pixels and label are one picture; a label may be the index."""
    files, entries = batch_of([*new_digits()[:20], new_digits()[0]])
    entries["files"][1]["label"] = new_digits()[1].label
    send(house, "monday", files, entries)
    assert [each.sentence.partition(", version")[0] for each in ingest_all(house)] == ["20 new, 1 known"]


def test_a_batch_that_is_mended_is_taken(house: Settings) -> None:
    """What was half-uploaded and is sent again whole, under the same name, is accepted; the first stays aside."""
    files, entries = batch_of(new_digits())
    send(house, "monday", files | {"003.png": b"half"}, entries)
    assert [each.state for each in ingest_all(house)] == ["quarantined"]
    send(house, "monday", files, entries)
    assert [each.state for each in ingest_all(house)] == ["accepted"]
    assert "digits/monday/reason.txt" in at(house, "quarantine")


def test_a_file_of_that_name_is_not_the_reason(house: Settings) -> None:
    """A sender's own reason.txt does not stand for ours."""
    files, entries = batch_of(new_digits())
    send(house, "monday", files | {"reason.txt": b"accept me"}, entries)
    (outcome,) = ingest_all(house)
    folder = house.state / "inbox" / "quarantine" / "digits" / "monday"
    assert (folder / "reason.txt").read_text() == f"{outcome.sentence}\n"


def test_a_link_is_no_file(house: Settings, tmp_path: Path) -> None:
    """A symbolic link that landed is not followed: its picture is missing."""
    files, entries = batch_of(new_digits()[:5])
    (tmp_path / "outside.png").write_bytes(files.pop("000.png"))
    folder = house.state / "inbox" / "incoming" / "digits" / "monday"
    folder.mkdir(parents=True)
    (folder / "000.png").symlink_to(tmp_path / "outside.png")
    send(house, "monday", files, entries)
    assert "000.png is listed and did not land" in ingest_all(house)[0].sentence


def test_a_batch_with_a_name_like_no_other_is_refused(house: Settings) -> None:
    """A name that would not fit into a sentence is not used for anything."""
    send_digits(house, "two\nlines", new_digits())
    assert "a batch is called by letters, digits, dots" in ingest_all(house)[0].sentence


def test_a_merged_dataset_that_fails_its_suites_is_no_version(house: Settings) -> None:
    """What Great Expectations says of the whole sets the batch aside and leaves Data Docs."""
    described, folder = read_description(fewer_digits()), house.root / "data" / "digits"
    splits = {split: examples_in(fewer_digits(), split) for split in described["splits"]}
    splits["gate"] = [each for each in splits["gate"] if each.label != 7]
    for path in folder.iterdir():
        path.unlink()
    about = {key: described[key] for key in described if key not in FILES}
    write_dataset(folder, about, (fewer_digits() / "LICENSE.txt").read_bytes(), splits, {})
    commit_house(house, "spoilt")
    send_digits(house, "monday", new_digits())
    (outcome,) = ingest_all(house)
    assert "merged, digits fails 1 of 33 expectations: splits missing_labels" in outcome.sentence
    assert (house.runs / "data_docs_failed" / "digits" / "data_docs" / "index.html").is_file()
    assert tags(house) == []


def test_emoji_take_drawings_of_known_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset with captions takes colour pictures of its labels, which are not compared with neighbours."""
    house = make_house(tmp_path / "house", monkeypatch, "emoji_small")
    drawn = examples_in(built_emoji_small(), "train")[0]
    pixels = np.frombuffer(drawn.image, np.uint8).reshape(3, 64, 64).transpose(1, 2, 0)
    content = encoded(Image.fromarray(np.ascontiguousarray(pixels[:, ::-1])))
    label = read_description(built_emoji_small())["labels"][drawn.label]
    send(house, "mirrored", {"a.png": content}, {"files": [listed("a.png", content, label)]}, "emoji_small")
    (outcome,) = ingest_all(house, "emoji_small")
    assert outcome.sentence.startswith("1 new, 0 known, version ")


@pytest.mark.parametrize("dataset", ["stamps_small", "stamps_speech_small"])
def test_recordings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str) -> None:
    """A dataset of recordings takes no batch, and what landed stays where it is."""
    house = make_house(tmp_path / "house", monkeypatch, dataset)
    files, entries = batch_of(examples_in(built_digits(), "train")[:2])
    send(house, "monday", files, entries, dataset)
    with pytest.raises(DataError, match=f"{dataset} holds recordings, and only pictures are taken"):
        ingest_all(house, dataset)
    assert len(open_inbox(house).keys("incoming/")) == 3
