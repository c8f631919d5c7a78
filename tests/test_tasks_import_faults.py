"""Bad input to an import: what refuses the whole is one sentence with the remedy; what spoils a row is listed."""

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from import_samples import (
    NAMES,
    PICTURE_FEATURES,
    encoded,
    import_from,
    picture_table,
    reasons_of,
    settings_of,
    texts_of,
    write_csv,
    write_jsonl,
    write_pictures,
    write_saved,
)
from picture_samples import as_bytes, photos, picture
from PIL import Image
from text_samples import sentences

from stillhouse.tasks.data.importing.sources import class_folders
from stillhouse.tasks.errors import DataError

TEXTS = sentences(300)
LABELS = [NAMES[number % 2] for number in range(300)]
PAIRS = list(zip(TEXTS, LABELS, strict=True))
HEADER = ("text", "label")
SECOND = "data-00001-of-00002.arrow"
MEGABYTE = "word " * 210_000


def table(*rows: tuple[object, ...], header: tuple[str, ...] = HEADER) -> Callable[[Path], Path]:
    """Write a CSV file of sound rows and others."""
    return lambda root: write_csv(root / "t.csv", [header, *PAIRS, *rows])


def raw(content: bytes, name: str = "t.csv") -> Callable[[Path], Path]:
    """Write a file of sound rows and other bytes."""

    def write(root: Path) -> Path:
        path = write_csv(root / name, [HEADER, *PAIRS])
        path.write_bytes(path.read_bytes() + content)
        return path

    return write


def only(content: bytes, name: str) -> Callable[[Path], Path]:
    """Write a file of these bytes alone."""

    def write(root: Path) -> Path:
        (root / name).write_bytes(content)
        return root / name

    return write


def saved(change: Callable[[pa.Table], pa.Table], features: dict[str, Any]) -> Callable[[Path], Path]:
    """Write a saved dataset of pictures, changed, with features of its own."""
    return lambda root: write_saved(root / "saved", change(picture_table(80, [0, 1] * 40)), features)


def one_class_of_photos(root: Path) -> Path:
    write_pictures(root / "photos" / "cat", 60)
    return root / "photos"


def thirty_photos(root: Path) -> Path:
    return photos(root / "photos", 10)


def nearly_equal_folders(root: Path) -> Path:
    top = photos(root / "photos")
    (top / "owl's").rename(top / "CAT ".strip())
    return top


def cut_off(root: Path) -> Path:
    top = saved(lambda rows: rows, PICTURE_FEATURES)(root)
    path = top / "data-00001-of-00002.arrow"
    path.write_bytes(path.read_bytes()[:-8])
    return top


def lacking_a_file(root: Path) -> Path:
    top = saved(lambda rows: rows, PICTURE_FEATURES)(root)
    (top / "data-00001-of-00002.arrow").unlink()
    return top


def lacking_a_split(root: Path) -> Path:
    (root / "saved").mkdir()
    (root / "saved" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return root / "saved"


def two_schemas(root: Path) -> Path:
    (root / "rows").mkdir()
    pq.write_table(pa.table({"text": TEXTS}), root / "rows" / "a.parquet")
    pq.write_table(pa.table({"text": list(range(300))}), root / "rows" / "b.parquet")
    return root / "rows"


def cut_parquet(root: Path) -> Path:
    pq.write_table(pa.table({"text": TEXTS}), root / "t.parquet")
    (root / "t.parquet").write_bytes((root / "t.parquet").read_bytes()[:-40])
    return root / "t.parquet"


def lying_parquet(root: Path) -> Path:
    pq.write_table(pa.table({"text": TEXTS}), root / "t.parquet", compression="none", use_dictionary=False)
    content = bytearray((root / "t.parquet").read_bytes())
    content[4:60] = b"\xff" * 56
    (root / "t.parquet").write_bytes(content)
    return root / "t.parquet"


def two_tables(root: Path) -> Path:
    for name in ("a.csv", "b.csv"):
        write_csv(root / "rows" / name, [HEADER, *PAIRS])
    return root / "rows"


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (one_class_of_photos, {}, r"photos has 1 class, and a classifier needs 2 to 10,000; give a folder for each"),
        (thirty_photos, {}, r"has 10 different pictures and none of them falls into \w+; give about 50 of each class"),
        (nearly_equal_folders, {}, r"the classes 'CAT' and 'cat' of photos differ by case or spaces only; give them"),
        (
            table(("other", "NO")),
            {},
            r"the classes 'NO' and 'no' of t.csv differ by case or spaces only; give them one",
        ),
        (table(("other", "n o")), {}, r"the classes 'n o' and 'no' of t.csv differ by case or spaces only"),
        (
            table(("other", "no ")),
            {},
            r"the class 'no ' of t.csv cannot have this name; rename it to 1 to 100 printable",
        ),
        (table(("other", "two\nlines")), {}, r"the class 'two\\nlines' of t.csv cannot have this name; rename it"),
        (table(("other", "x" * 500)), {}, r"the class 'x{100}\.\.\.' of t.csv cannot have this name"),
        (table(("other", "rare")), {}, r"the class rare has 1 different texts and none of them falls into"),
        (only(b"text\nfew\nrows\n", "t.csv"), {}, r"none of the 2 different texts falls into \w+; give at least 200"),
        (
            only(b"text\n", "t.csv"),
            {},
            r"t.csv, read as texts from t.csv: .* has no texts that can be used: it has no r",
        ),
        (only(b"", "t.csv"), {}, r"t.csv has no header; give the names of the columns in the first line"),
        (only(b"\n\n\n", "t.txt"), {}, r"t.txt, read as texts, .* can be used: the first row: the text is empty"),
        (only(b"a,b\n1,2\n", "t.csv"), {}, r"t.csv has the columns 'a', 'b'; name the one with the texts by --text-c"),
        (only(b"text,text\n1,2\n", "t.csv"), {}, r"t.csv has the column 'text' twice; rename one of them"),
        (only("text\nö".encode("utf-16"), "t.csv"), {}, r"t.csv is UTF-16; save it as UTF-8"),
        (only("text\nö".encode("utf-16"), "t.txt"), {}, r"t.txt is UTF-16; save it as UTF-8"),
        (
            only(b"[1, 2]\n", "t.jsonl"),
            {},
            r"t.jsonl begins with a line that is no JSON object; give a JSON object with",
        ),
        (only(b"", "t.jsonl"), {}, r"t.jsonl is empty; give a JSON object with the same keys on every line"),
        (
            only(b"{}", "t.json"),
            {},
            r"t.json has no captions of COCO; give a COCO file of captions, or a file that ends",
        ),
        (only(b"{", "t.json"), {}, r"t.json is no JSON; write one object a line into a file that ends in .jsonl"),
        (
            only(b"x", "model.h5"),
            {},
            r"model.h5 is of no known kind; name a folder with a folder of pictures, recordings or texts",
        ),
        (only(b"PAR1", "t.parquet"), {}, r"t.parquet cannot be read as a Parquet file \(.*\); copy it again"),
        (raw(b'"never closed,no\n' + b"a,b\n" * 9), {}, r"the quote that begins in line 302 of .*t.csv or soon after"),
        (table(), {"text_column": "body"}, r"t.csv has no column 'body' for --text-column; it has 'text'"),
        (table(), {"label_column": "body"}, r"t.csv has no column 'body' for --label-column; it has 'text', 'label'"),
        (table(header=("text", "topic")), {"task": "text-classification"}, r"'text', 'topic'; name the one with the l"),
        (
            raw(b"", "t.txt"),
            {"task": "text-classification"},
            r"t.txt, read as .* has no labels for text-classification",
        ),
        (
            thirty_photos,
            {"task": "text-embedding"},
            r"photos, read as pictures, .* has no texts for text-embedding; na",
        ),
        (raw(b"", "t.txt"), {"task": "image-classification"}, r"t.txt, read as texts.* has no pictures for image-cl"),
        (table(), {"task": "image-classification"}, r"t.csv has the columns 'text'; call the one with the pictures"),
        (two_tables, {}, r"rows has a.csv and b.csv; name the one that is meant"),
        (
            two_schemas,
            {},
            r"b.parquet and a.parquet have different columns; name one of them alone, or write both alike",
        ),
        (cut_parquet, {}, r"t.parquet cannot be read as a Parquet file \(.*\); copy it again"),
        (lying_parquet, {}, r"t.parquet cannot be read after row 0 \(.*\); copy it again"),
        (cut_off, {}, r"data-00001-of-00002.arrow is cut off or damaged; copy the dataset again"),
        (
            lacking_a_file,
            {},
            r"state.json names data-00001-of-00002.arrow, and .*saved does not have it; copy the data",
        ),
        (
            lacking_a_split,
            {},
            r"dataset_dict.json names the split 'train', and .*saved does not have it; copy the data",
        ),
        (
            saved(lambda rows: rows, {**PICTURE_FEATURES, "label": {"_type": "Image"}}),
            {},
            r"saved describes the column label as Image and stores int64; save the dataset again",
        ),
        (
            saved(lambda rows: rows.set_column(1, "label", pa.array(["no", "yes"] * 40)), PICTURE_FEATURES),
            {},
            r"saved describes the column label as ClassLabel and stores string; save the dataset again",
        ),
        (
            saved(lambda rows: rows.append_column("other", rows["label"]), {"other": PICTURE_FEATURES["label"]}),
            {"label_column": "image"},
            r"the column image of saved has no labels by its type; name another by --label-column",
        ),
    ],
)
def test_what_is_no_dataset_is_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], options: dict[str, Any], sentence: str
) -> None:
    """The whole is refused with the remedy, and the cache stays as it was."""
    with pytest.raises(DataError, match=sentence) as error:
        import_from(tmp_path, make(tmp_path), **options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "state" / "data").exists()


def parquet(*contents: bytes | str | None) -> Callable[[Path], Path]:
    """Write sound texts and others, as bytes that claim to be UTF-8."""

    def write(root: Path) -> Path:
        cells = [*(text.encode() for text in TEXTS), *(c.encode() if isinstance(c, str) else c for c in contents)]
        stored = pa.array(cells, pa.binary())
        texts = pa.StringArray.from_buffers(len(cells), *stored.buffers()[1:], stored.buffers()[0], stored.null_count)
        pq.write_table(pa.table({"text": texts}), root / "t.parquet")
        return root / "t.parquet"

    return write


def listed(*rows: tuple[str, str]) -> Callable[[Path], Path]:
    """Write a manifest of sound pictures and others, and a picture beside its folder."""

    def write(root: Path) -> Path:
        names = write_pictures(root / "photos", 240)
        (root / "secret.png").write_bytes(as_bytes(picture(999)))
        (root / "photos" / "link.png").symlink_to(root / "secret.png")
        (root / "photos" / "note.png").write_text("no picture")
        sound = [(name, NAMES[number % 2]) for number, name in enumerate(names)]
        return write_csv(root / "photos" / "m.csv", [("path", "label"), *sound, *rows])

    return write


def gigapixels() -> bytes:
    """Make a file of some hundred bytes that claims 900 million pixels."""
    small = bytearray(as_bytes(Image.new("1", (8, 8))))
    small[16:24] = (30_000).to_bytes(4, "big") * 2
    import zlib

    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


def photos_and(**files: bytes) -> Callable[[Path], Path]:
    """Write sound class folders, and files in one of them."""

    def write(root: Path) -> Path:
        top = photos(root / "photos")
        for name, content in files.items():
            (top / "cat" / name).write_bytes(content)
        return top

    return write


def two_classes(root: Path) -> Path:
    contents = [*encoded(240), as_bytes(picture(5)), as_bytes(picture(8))]
    labels = [NAMES[number % 2] for number in range(240)] + [NAMES[0], NAMES[0]]
    pq.write_table(pa.table({"image": contents, "label": labels}), root / "p.parquet")
    return root / "p.parquet"


def numbered(*labels: int | None) -> Callable[[Path], Path]:
    """Write a saved dataset of texts, of which the last have these labels."""

    def write(root: Path) -> Path:
        numbers = pa.array([0, 1] * 140 + [0] * (20 - len(labels)) + list(labels), pa.int64())
        features = {"text": {"_type": "Value", "dtype": "string"}, "label": PICTURE_FEATURES["label"]}
        return write_saved(root / "saved", pa.table({"text": TEXTS, "label": numbers}), features)

    return write


@pytest.mark.parametrize(
    ("make", "reasons"),
    [
        (table(("", "no")), {"t.csv:302": "the text is empty; give at least one character"}),
        (table((" \t\n ", "no")), {"t.csv:303": "the text is empty; give at least one character"}),
        (table(("a\0b", "no")), {"t.csv:302": "the text has the control character U+0000; remove it"}),
        (table((MEGABYTE, "no")), {"t.csv:302": "the text has 1,049,999 characters; give one of at most 20,000"}),
        (table(("fine", "")), {"t.csv:302": "it has no label; give it one"}),
        (raw(b"\xff\xfe,no\r\n"), {"t.csv:302": "the text is not valid UTF-8; save it as UTF-8"}),
        (raw(b"fine,\xff\r\n"), {"t.csv:302": "its label is not valid UTF-8; save the file as UTF-8"}),
        (
            raw(b"one, two,no\r\n"),
            {"t.csv:302": "it has 3 fields and the header has 2; put a field with a comma into quotes"},
        ),
        (raw(b"one\r\n"), {"t.csv:302": "it has 1 fields and the header has 2; put a field with a comma into quotes"}),
        (raw(b'"a "b" c",no\r\n'), {"t.csv:302": "its quotes do not fit; write a quote inside quotes twice"}),
        (raw(b'"a ""b"", c\nd",no\r\n'), {}),
        (raw(b"\0\n", "t.txt"), {"t.txt:302": "the text has the control character U+0000; remove it"}),
        (
            raw(b"x" * 5_000_000 + b"\nfine\n", "t.txt"),
            {"t.txt:302": "the line has more than 4,194,304 bytes; give a shorter text"},
        ),
        (
            parquet(b"\xff", "", None, "\x07"),
            {
                "t.parquet:301": "the text is not valid UTF-8; save it as UTF-8",
                "t.parquet:302": "the text is empty; give at least one character",
                "t.parquet:303": "its text has nothing instead of a text; give a text",
                "t.parquet:304": "the text has the control character U+0007; remove it",
            },
        ),
        (
            numbered(2, -1, None),
            {
                f"{SECOND}:148": "its label 2 is outside of the 2 names of its classes; mend the label",
                f"{SECOND}:149": "its label -1 is outside of the 2 names of its classes; mend the label",
                f"{SECOND}:150": "it has no label; give it one",
            },
        ),
        (
            two_classes,
            {
                "p.parquet:6": "its pixels are in the class no too; keep the picture in one class",
                "p.parquet:241": "its pixels are those of p.parquet:6",
                "p.parquet:242": "its pixels are those of p.parquet:9",
            },
        ),
    ],
)
def test_a_spoilt_row_is_listed(tmp_path: Path, make: Callable[[Path], Path], reasons: dict[str, str]) -> None:
    """The other rows become a dataset, and rejected.csv has each spoilt row with its reason."""
    assert reasons_of(import_from(tmp_path, make(tmp_path))) == reasons


def test_json_lines_that_are_none_are_listed(tmp_path: Path) -> None:
    """Broken lines, numbers for texts, and labels that are no names are each told."""
    path = write_jsonl(tmp_path / "t.jsonl", [{"text": text, "label": label} for text, label in PAIRS])
    odd = [
        b"{",
        b"[]",
        b'{"text": 7, "label": "no"}',
        b'{"text": "a", "label": 0.5}',
        b'{"text": "\\ud800", "label": "no"}',
    ]
    path.write_bytes(path.read_bytes() + b"\n".join([*odd, b"\xff\xfe", b"[" * 100_000]))
    assert reasons_of(import_from(tmp_path, path)) == {
        "t.jsonl:301": "the line is no JSON object; give one a line",
        "t.jsonl:302": "the line is no JSON object; give one a line",
        "t.jsonl:303": "its text has int instead of a text; give a text",
        "t.jsonl:304": "its label 0.5 is neither a name nor a whole number; give it one",
        "t.jsonl:305": "the text is not valid UTF-8; save it as UTF-8",
        "t.jsonl:306": "the line is not valid UTF-8; save the file as UTF-8",
        "t.jsonl:307": "the line is no JSON object; give one a line",
    }


def test_a_manifest_that_lies_about_files_is_told(tmp_path: Path) -> None:
    """A missing file, a file outside of the folder by any way, and a file that is no picture are each listed."""
    rows = [
        ("gone.png", "no"), ("../secret.png", "no"), ("/etc/passwd", "no"), ("link.png", "no"), ("a\0b", "no"),
        ("", "no"), ("note.png", "no"), ("003.png", NAMES[1]), (".", "no"),
        ("x" * 300, "no"),
    ]  # fmt: skip
    found = reasons_of(import_from(tmp_path, listed(*rows)(tmp_path)))
    root = tmp_path / "photos"
    outside = f"which is outside of {root}; move the picture into the folder"
    assert found == {
        "gone.png (m.csv:242)": f"it names gone.png, and {root} has no such file; mend the path or add the picture",
        "../secret.png (m.csv:243)": f"it names ../secret.png, {outside}",
        "/etc/passwd (m.csv:244)": f"it names /etc/passwd, {outside}",
        "link.png (m.csv:245)": f"it names link.png, {outside}",
        "a\0b (m.csv:246)": "it names no file ('a\\x00b'); give the path of a picture",
        "m.csv:247": "it has no picture; give the path of a picture or its bytes",
        "note.png (m.csv:248)": "the picture cannot be read (it is of no known kind); give a whole PNG, JPEG, WebP, "
        "GIF, BMP or TIFF file",
        "003.png (m.csv:249)": "its pixels are those of 003.png (m.csv:5)",
        f"{'x' * 300} (m.csv:251)": f"it names no file ({'x' * 40!r}); give the path of a picture",
        ". (m.csv:250)": f"it names ., and {root} has no such file; mend the path or add the picture",
    }


def test_labels_may_have_commas_quotes_and_any_script(tmp_path: Path) -> None:
    """What CSV puts into quotes is a label like any other."""
    names = ('say "no"', "one, two", "雪", "a;b")
    rows = [(text, names[number % 4]) for number, text in enumerate(TEXTS)]
    found = import_from(tmp_path, write_csv(tmp_path / "t.csv", [HEADER, *rows]))
    assert texts_of(tmp_path, found) == dict(rows)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gigapixels(), "the picture "),
        (as_bytes(Image.fromarray(np.ones((9, 9), np.int32)), "TIFF"), "the picture has pixels of 32 bits (I)"),
        (as_bytes(picture(1))[:120], "the picture cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "the picture cannot be read"),
    ],
    ids=["gigapixels", "32 bits", "cut off", "zeros"],
)
def test_a_picture_that_cannot_be_decoded_is_listed(tmp_path: Path, content: bytes, reason: str) -> None:
    """A bomb of gigapixels, pixels without a range, and a file that is cut off cost no memory and no import."""
    found = import_from(tmp_path, photos_and(**{"odd.png": content})(tmp_path))
    ((name, told),) = reasons_of(found).items()
    assert name == "cat/odd.png"
    assert told.startswith(reason)


def test_a_name_that_is_not_utf8_is_listed(tmp_path: Path) -> None:
    """A file whose name cannot be stored does not stop the import."""
    root = photos(tmp_path / "photos")
    Path(os.fsdecode(os.fsencode(root / "cat") + b"/\xff.png")).write_bytes(as_bytes(picture(1)))
    assert reasons_of(import_from(tmp_path, root)) == {"cat/\\xff.png": "its name is not valid UTF-8; rename it"}


def test_an_unreadable_folder_is_told_and_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder inside of a class that cannot be listed refuses the import: its pictures would be missed silently."""
    root = photos(tmp_path / "photos")
    (root / "cat" / "more").mkdir()
    listed, scandir = str(root / "cat" / "more"), os.scandir

    def scan(path: str | Path) -> Any:
        if str(path) == listed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), listed)
        return scandir(path)

    monkeypatch.setattr(class_folders.os, "scandir", scan)
    with pytest.raises(DataError, match=rf"^{listed} cannot be read \(Permission denied\); mend its permissions$"):
        import_from(tmp_path, root)


FULL = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from import_samples import import_from
from stillhouse.tasks.errors import DataError
try:
    import_from(Path(sys.argv[1]), sys.argv[2])
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("size", ["200k", "900k"])
def test_a_full_disk_is_one_sentence_and_leaves_the_cache_alone(tmp_path: Path, size: str) -> None:
    """On a real disk without room the import says so, early or late, and goes on when there is room."""
    root, small = photos(tmp_path / "photos", 200), tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size={size} none {small} && exec "$@" && ls {small}/state'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", FULL, str(small), str(root), *sys.path]
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this host gives no user namespace, which a small disk needs")
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "No space left on device" in ran.stdout, ran.stderr
    assert ran.stdout.strip().endswith(
        "cannot be read or written (No space left on device); free the disk or mend its permissions"
    )
    assert "Traceback" not in ran.stderr


def test_two_labels_of_one_text_are_in_neither_class(tmp_path: Path) -> None:
    """A contradiction between two label spaces trains nothing."""
    found = import_from(tmp_path, table((TEXTS[4], NAMES[1]))(tmp_path))
    assert reasons_of(found) == {
        "t.csv:6": f"its text is in the class {NAMES[1]} too; keep the text in one class",
        "t.csv:302": "its text is that of t.csv:6",
    }
    assert TEXTS[4] not in texts_of(tmp_path, found)


def test_every_kind_of_fault_names_a_file_that_can_be_found(tmp_path: Path) -> None:
    """rejected.csv is UTF-8 with two columns, and stays after the import."""
    found = import_from(tmp_path, table(("", "no"))(tmp_path))
    assert found.report == settings_of(tmp_path).state / "imports" / "mine" / "rejected.csv"
    assert found.report.read_text("utf-8").splitlines()[0] == "file,reason"
    assert json.loads(json.dumps(found.counts)) == found.counts
    assert io.StringIO(found.report.read_text("utf-8")).readlines()[1].startswith("t.csv:302,")
