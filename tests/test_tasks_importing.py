"""A user's own folder of pictures becomes a dataset: every kind of file, every reason, killed or not."""

import csv
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import yaml
from data_samples import built_digits, git, make_house, make_job, quiet
from picture_samples import CLASSES, as_bytes, photos, picture
from PIL import Image
from tiny_house import tiny_house

from stillhouse.models.data.images import load_images
from stillhouse.models.data.pictures import pixels_of
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.format.dataset import SPLITS, read_manifest
from stillhouse.tasks.data.importing import contents as contents_module
from stillhouse.tasks.data.importing import spool as spool_module
from stillhouse.tasks.data.importing.deal import NAMES, SHARES, deal, split_of
from stillhouse.tasks.data.importing.import_folder import import_folder
from stillhouse.tasks.data.importing.labels import read_classes
from stillhouse.tasks.data.importing.wanted import Imported, Wanted
from stillhouse.tasks.data.store.revision import read_pinned
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import pull_data
from stillhouse.tasks.stages.validate import validate_data

SHAPE = (3, 16, 16)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a house whose data.dvc pins the digits."""
    return make_house(tmp_path / "house", monkeypatch)


def imported(house: Settings, folder: Path, name: str = "mine") -> Imported:
    return import_folder(house, Wanted(name, folder, SHAPE, "CC0"), quiet)


def reasons(found: Imported) -> dict[str, str]:
    with found.report.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["reason"] for row in csv.DictReader(stream)}


def test_a_folder_becomes_a_dataset_that_a_night_can_use(house: Settings, tmp_path: Path) -> None:
    """It is pinned beside the other datasets, pulled, meets the data contract, and has the served pixels."""
    root = photos(tmp_path / "photos")
    found = imported(house, root)
    assert (sum(found.counts.values()), found.rejected, found.labels) == (180, 0, tuple(sorted(CLASSES)))
    assert set(read_pinned(house.root, None)) == {"digits", "mine"}
    pulled = make_job(tmp_path / "pull", Data(dataset="mine"))
    pull_data(pulled)
    validated = make_job(tmp_path / "validate", Data(dataset="mine"), {"data": pulled.out})
    assert validate_data(validated)["rows"] == 180
    dataset = house.root / "data" / "mine"
    rows = [row for row in read_manifest(dataset) if row["split"] == "gate"]
    images = load_images(dataset, "gate")
    for row, pixels in zip(rows, images.images_NCHW, strict=True):
        assert np.array_equal(pixels, pixels_of((root / row["id"]).read_bytes(), SHAPE))
        assert found.labels[row["label"]] == row["id"].split("/")[0]


def test_a_second_import_changes_no_byte(house: Settings, tmp_path: Path) -> None:
    """The same folder gives the same version."""
    root = photos(tmp_path / "photos")
    imported(house, root)
    before = read_pinned(house.root, None)
    imported(house, root)
    assert read_pinned(house.root, None) == before


def test_a_picture_keeps_its_split_when_others_come(house: Settings, tmp_path: Path) -> None:
    """More pictures, or none of some, move no picture to another split."""
    root = photos(tmp_path / "photos")
    imported(house, root)
    first = {row["sha256"]: row["split"] for row in read_manifest(house.root / "data" / "mine")}
    for index in range(5):
        picture(9_000 + index).save(root / "cat" / f"new-{index}.png")
        (root / "cat" / f"{index:03d}.png").unlink()
    imported(house, root)
    second = {row["sha256"]: row["split"] for row in read_manifest(house.root / "data" / "mine")}
    assert len(first.keys() & second.keys()) == 175
    assert all(second[digest] == first[digest] for digest in first.keys() & second.keys())


def turned(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return as_bytes(picture(seed), "JPEG", exif=exif)


READABLE: dict[str, Callable[[], bytes]] = {
    "grey.png": lambda: as_bytes(picture(1, "L"), "PNG"),
    "palette.gif": lambda: as_bytes(picture(2, "P"), "GIF"),
    "alpha.png": lambda: as_bytes(picture(3, "RGBA"), "PNG"),
    "grey and alpha.png": lambda: as_bytes(picture(4, "LA"), "PNG"),
    "bits.png": lambda: as_bytes(picture(5, "1"), "PNG"),
    "ink.jpg": lambda: as_bytes(picture(6, "CMYK"), "JPEG"),
    "video.jpg": lambda: as_bytes(picture(7, "YCbCr"), "JPEG"),
    "deep.png": lambda: as_bytes(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), "PNG"),
    "turned.jpg": lambda: turned(8),
    "web.webp": lambda: as_bytes(picture(9), "WEBP", lossless=True),
    "scan.tiff": lambda: as_bytes(picture(10), "TIFF"),
    "old.bmp": lambda: as_bytes(picture(11), "BMP"),
    "no ending": lambda: as_bytes(picture(12), "PNG"),
    "wrong ending.txt": lambda: as_bytes(picture(13), "PNG"),
    "one pixel.png": lambda: as_bytes(picture(14, size=(1, 1)), "PNG"),
    "wide.png": lambda: as_bytes(picture(15, size=(400, 2)), "PNG"),
}
REJECTED = {
    "empty.png": (b"", "the picture cannot be read (it is of no known kind)"),
    "cut.png": (as_bytes(picture(20), "PNG")[:90], "the picture cannot be read"),
    "words.txt": (b"a note", "it is of no known kind"),
    "twin.png": (as_bytes(picture(1_000), "PNG"), "its pixels are those of cat/000.png"),
    "blank.png": (as_bytes(Image.new("RGB", (20, 20), (9, 9, 9))), "the picture shows nothing, as all of its pixels"),
    "vector.svg": (b"<svg/>", "it is of no known kind"),
}


def test_every_kind_of_picture_is_read_and_every_other_file_listed(house: Settings, tmp_path: Path) -> None:
    """Modes, orientations and endings do not matter; what is left out stands in a file with its reason."""
    root = photos(tmp_path / "photos")
    for name, make in READABLE.items():
        (root / "cat" / name).write_bytes(make())
    for name, (content, _) in REJECTED.items():
        (root / "cat" / name).write_bytes(content)
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    (root / "cat" / "linked.png").symlink_to(root / "cat" / "001.png")
    (root / "readme.txt").write_text("beside the classes")
    found = imported(house, root)
    assert sum(found.counts.values()) == 180 + len(READABLE)
    told = reasons(found)
    assert told.keys() == {f"cat/{name}" for name in REJECTED}
    assert all(REJECTED[name.removeprefix("cat/")][1] in reason for name, reason in told.items())


def test_one_picture_in_two_classes_is_in_neither(house: Settings, tmp_path: Path) -> None:
    """A contradiction of labels is listed and trains nothing."""
    root = photos(tmp_path / "photos")
    shutil.copy(root / "cat" / "007.png", root / "owl's" / "same.png")
    found = imported(house, root)
    assert reasons(found) == {
        "cat/007.png": "its pixels are in the class owl's too; keep the picture in one class",
        "owl's/same.png": "its pixels are those of cat/007.png",
    }
    assert not {"cat/007.png", "owl's/same.png"} & {row["id"] for row in read_manifest(house.root / "data" / "mine")}


def test_the_classes_come_in_the_order_that_is_given(house: Settings, tmp_path: Path) -> None:
    """The order of a model's outputs is kept, and not that of the names."""
    (tmp_path / "classes.txt").write_text("\n".join([*CLASSES[::-1], ""]), "utf-8")
    turned = read_classes(tmp_path / "classes.txt")
    wanted = Wanted("mine", photos(tmp_path / "photos"), SHAPE, "CC0", classes=turned)
    assert import_folder(house, wanted, quiet).labels == tuple(CLASSES[::-1])
    with pytest.raises(DataError, match=f"photos has the class {CLASSES[0]!r}, which the file of classes lacks; add"):
        import_folder(house, replace(wanted, classes=(*CLASSES[1:], "dog")), quiet)
    with pytest.raises(DataError, match=r"the class dog has 0 different pictures"):
        import_folder(house, replace(wanted, classes=(*CLASSES, "dog")), quiet)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe", "cannot be read as UTF-8 text; give a file with the name of one class a line"),
        (b" \n\n", "names no classes; write one name a line, in the order of the model's outputs"),
        (None, "cannot be read as UTF-8 text; give a file"),
    ],
)
def test_a_file_without_classes_is_refused(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """No file, no text and no name end in one sentence each."""
    if content is not None:
        (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"classes.txt {sentence}"):
        read_classes(tmp_path / "classes.txt")


def one_class(root: Path) -> None:
    for name in CLASSES[1:]:
        shutil.rmtree(root / name)


def too_few(root: Path) -> None:
    for path in (root / "cat").iterdir():
        if path.name > "002.png":
            path.unlink()


def newline(root: Path) -> None:
    (root / "cat").rename(root / "two\nlines")


@pytest.mark.parametrize(
    ("spoil", "name", "sentence"),
    [
        (
            one_class,
            "mine",
            r"photos has 1 class, and a classifier needs 2 to 10,000; give a folder for each class, or a",
        ),
        (
            too_few,
            "mine",
            r"the class cat has 3 different pictures and none of them falls into .*; give about",
        ),
        (newline, "mine", r"the class 'two\\nlines' of .* cannot have this name; rename it to 1 to 100 printable"),
        (
            shutil.rmtree,
            "mine",
            r"photos does not exist; name a folder with a folder of pictures, recordings or texts for each class, or a",
        ),
        (lambda _: None, "digits", "digits is a dataset that this project builds; choose another name"),
        (lambda _: None, "My Photos", "My Photos is no name for a dataset; choose another name of small letters"),
        (lambda _: None, "../etc", r"\.\./etc is no name for a dataset"),
    ],
)
def test_what_is_no_dataset_is_told_and_pins_nothing(
    house: Settings, tmp_path: Path, spoil: Callable[[Path], object], name: str, sentence: str
) -> None:
    """Each fault is one sentence with the remedy, and data.dvc and data/ stay as they were."""
    root = photos(tmp_path / "photos")
    spoil(root)
    with pytest.raises(DataError, match=sentence) as error:
        imported(house, root, name)
    assert "\n" not in str(error.value)
    assert set(read_pinned(house.root, None)) == {"digits"}
    assert [path.name for path in (house.root / "data").iterdir()] == ["digits"]


def test_a_killed_import_goes_on_where_it_was(house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that were decoded before the kill are not decoded again, and the version is the same."""
    root, read = photos(tmp_path / "photos"), []
    monkeypatch.setattr(spool_module, "CHUNK_ROWS", {"image": 50})
    decode = contents_module.pixels_of

    def counted(content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        if len(read) == 120:
            raise KeyboardInterrupt
        read.append(content)
        return decode(content, shape)

    monkeypatch.setattr(contents_module, "pixels_of", counted)
    with pytest.raises(KeyboardInterrupt):
        imported(house, root)
    assert set(read_pinned(house.root, None)) == {"digits"}
    monkeypatch.setattr(contents_module, "pixels_of", lambda *given: read.append(given[0]) or decode(*given))
    imported(house, root)
    assert len(read) == 120 + 80
    killed = read_pinned(house.root, None)["mine"]
    shutil.rmtree(house.state / "imports")
    imported(house, root)
    assert read_pinned(house.root, None)["mine"] == killed


def test_a_digest_decides_the_split_by_the_shares() -> None:
    """Over many digests every split has its share, and one digest has always one split."""
    digests = [os.urandom(32).hex() for _ in range(20_000)]
    counts = Counter(map(split_of, digests))
    for split, share in SHARES.items():
        assert counts[split] / len(digests) == pytest.approx(share, abs=0.015)
    assert set(counts) == set(SPLITS)
    assert [split_of(digest) for digest in digests] == [split_of(digest) for digest in digests]


def test_the_first_of_equal_pictures_stays() -> None:
    """Dealing is by digest: of equal pictures the first in the listing stays."""
    digests = [f"{number * 2_654_435_761 % 2**32:08x}{number:056x}" for number in range(800)]
    contents_N = np.array([bytes.fromhex(digest) for digest in [*digests, digests[3], digests[4]]], "S32")
    dealt = deal(contents_N, np.array([number % 2 for number in range(800)] + [1, 1]))
    assert dealt.firsts_N.tolist() == [*range(800), 3, 4]
    assert np.flatnonzero(dealt.splits_N < 0).tolist() == [4, 800, 801]
    assert dealt.others_N[[3, 4, 800]].tolist() == [-1, 1, -1]
    for number in (0, 3, 799):
        assert NAMES[dealt.splits_N[number]] == split_of(digests[number])


def test_an_import_waits_while_data_is_built(house: Settings, tmp_path: Path) -> None:
    """`stillhouse data` and the last steps of an import never write data/ and data.dvc at one time."""
    root = photos(tmp_path / "photos")
    with waiting(house.state / "data.lock"):
        thread = Thread(target=imported, args=(house, root))
        thread.start()
        until((house.state / "imports" / "mine" / "made" / "dataset.json").is_file)
        thread.join(0.3)
        assert thread.is_alive()
        assert sorted(path.name for path in (house.root / "data").iterdir()) == ["digits"]
    thread.join(60)
    assert set(read_pinned(house.root, None)) == {"digits", "mine"}


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_command_says_what_it_made(house: Settings, tmp_path: Path) -> None:
    """`stillhouse data import` prints classes, splits, what was left out, and what to do next."""
    from typer.testing import CliRunner

    from stillhouse.tasks.cli.main import app

    root = photos(tmp_path / "photos")
    (root / "cat" / "note.txt").write_text("no picture")
    done = CliRunner().invoke(app, ["data", "import", "mine", str(root), "--side", "16", "--licence", "CC0"])
    assert done.exit_code == 0, done.output
    assert "3 classes; train " in done.output
    assert f"1 rows left out; {house.state / 'imports' / 'mine' / 'rejected.csv'} says why" in done.output
    assert "data.dvc pins mine; commit it, and name mine as data.dataset in a recipe" in done.output
    git(house.root, "add", "data.dvc")


@pytest.mark.long
def test_a_night_on_a_users_own_folder_registers_a_student(tmp_path: Path) -> None:
    """A folder of PNG files and a recipe lead to a smaller student in the registry; no line of code is written."""
    digits = load_images(built_digits(), "train")
    for number, (pixels, label) in enumerate(zip(digits.images_NCHW, digits.labels_N, strict=True)):
        (tmp_path / "photos" / f"digit {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0] * 15).save(tmp_path / "photos" / f"digit {label}" / f"{number}.png")
    with tiny_house(tmp_path / "house") as house:
        import_folder(house.settings, Wanted("mine", tmp_path / "photos", (1, 8, 8), "CC0"), quiet)
        content = yaml.safe_load(house.recipe.read_text("utf-8")) | {"data": {"dataset": "mine"}}
        house.recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
        assert house.run("test/own")["verdict"] == "PASS"
        summary = json.loads((house.settings.runs / "latest" / "summary.json").read_text("utf-8"))
    assert (summary["mlflow"]["alias"], summary["error"]) == ("candidate", None)
    assert summary["student"]["quality"] > 0.85
    assert summary["ratios"]["bytes"] > 20
