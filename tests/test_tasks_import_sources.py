"""Every kind of source gives the same rows as a plain list of them, and says how it is read."""

import json
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
    SHAPE,
    encoded,
    import_from,
    labels_of_pictures,
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
from text_samples import sentences

from stillhouse.models.data.pictures import pixels_of
from stillhouse.tasks.data.checks.data_tables import tables_of
from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.stages.validate import judge

COUNT = 240
LABELS = [NAMES[number % 2] for number in range(COUNT)]
TEXTS = sentences(COUNT)
PAIRS = list(zip(TEXTS, LABELS, strict=True))


def lines(root: Path) -> Path:
    (root / "words.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return root / "words.txt"


def windows_lines(root: Path) -> Path:
    (root / "words.txt").write_bytes("\r\n".join(TEXTS).encode("utf-8-sig"))
    return root / "words.txt"


def folder_of_lines(root: Path) -> Path:
    (root / "texts").mkdir()
    for number in range(3):
        (root / "texts" / f"{number}.txt").write_text("\n".join(TEXTS[number::3]), encoding="utf-8")
    return root / "texts"


def coco(root: Path) -> Path:
    entries = [{"id": number, "image_id": 7, "caption": text} for number, text in enumerate(TEXTS)]
    (root / "captions_val.json").write_text(json.dumps({"images": [], "annotations": entries}))
    return root / "captions_val.json"


def librispeech(root: Path) -> Path:
    for number in range(4):
        folder = root / "LibriSpeech" / "dev" / str(80 + number // 2) / str(number)
        folder.mkdir(parents=True)
        own = [f"{number}-{row:04d} {text}" for row, text in enumerate(TEXTS[number::4])]
        (folder / f"{number}.trans.txt").write_text("\n".join(own) + "\n", encoding="utf-8")
    return root / "LibriSpeech"


def csv_texts(root: Path) -> Path:
    return write_csv(root / "rated.csv", [("id", "text", "label"), *((7, *pair) for pair in PAIRS)])


def tsv_texts(root: Path) -> Path:
    return write_csv(root / "rated.tsv", [("sentence", "class"), *PAIRS], "\t")


def jsonl_texts(root: Path) -> Path:
    return write_jsonl(root / "rated.jsonl", [{"text": text, "label": label} for text, label in PAIRS])


def parquet_texts(root: Path) -> Path:
    table = pa.table({"text": TEXTS, "label": pa.array(LABELS).dictionary_encode()})
    pq.write_table(table, root / "rated.parquet", row_group_size=50)
    return root / "rated.parquet"


def folder_of_parquet(root: Path) -> Path:
    (root / "rows").mkdir()
    for number in range(2):
        table = pa.table({"text": TEXTS[number::2], "label": LABELS[number::2]})
        pq.write_table(table, root / "rows" / f"train-0000{number}-of-00002.parquet")
    return root / "rows"


def saved_texts(root: Path) -> Path:
    numbers = pa.array([NAMES.index(label) for label in LABELS], pa.int64())
    features = {"text": {"_type": "Value", "dtype": "string"}, "label": PICTURE_FEATURES["label"]}
    return write_saved(root / "saved", pa.table({"text": TEXTS, "label": numbers}), features, COUNT)


def saved_splits(root: Path) -> Path:
    features = {"text": {"_type": "Value", "dtype": "string"}}
    for number, name in enumerate(("train", "test")):
        write_saved(root / "saved" / name, pa.table({"text": TEXTS[number::2]}), features)
    (root / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return root / "saved"


@pytest.mark.parametrize(
    ("make", "labelled", "read_as"),
    [
        (lines, False, "texts, one a line: words.txt, no labels"),
        (windows_lines, False, "texts, one a line: words.txt, no labels"),
        (folder_of_lines, False, "texts, one a line: 3 files, no labels"),
        (coco, False, "texts, the 240 captions of captions_val.json, no labels; the pictures of captions are not read"),
        (
            librispeech,
            False,
            "texts, the transcripts in 4 files of LibriSpeech, no labels; the recordings are not read",
        ),
        (csv_texts, True, "texts from rated.csv: column `text`, labels `label`"),
        (tsv_texts, True, "texts from rated.tsv: column `sentence`, labels `class`"),
        (jsonl_texts, True, "texts from rated.jsonl: column `text`, labels `label`"),
        (parquet_texts, True, "texts from rated.parquet: column `text`, labels `label`, 240 rows"),
        (folder_of_parquet, True, "texts from rows: column `text`, labels `label`, 240 rows of 2 files"),
        (saved_texts, True, "texts from saved: column `text`, labels `label`, 240 rows"),
        (
            saved_splits,
            False,
            "texts from saved: column `text`, no labels, 240 rows of its splits train, test, which are dealt anew",
        ),
    ],
)
def test_texts_of_every_kind_are_read(
    tmp_path: Path,
    make: Callable[[Path], Path],
    labelled: bool,  # noqa: FBT001 - one of two kinds
    read_as: str,
) -> None:
    """Each text comes out once, with the name of its label, and meets the data contract."""
    found = import_from(tmp_path, make(tmp_path))
    assert texts_of(tmp_path, found) == (dict(PAIRS) if labelled else dict.fromkeys(TEXTS, ""))
    assert (found.read_as, found.rejected) == (read_as, 0)
    described = read_description(settings_of(tmp_path).data_cache / found.digest)
    assert described["texts"]["longest"] == max(map(len, TEXTS))
    assert described["texts"]["labelled"] == labelled


def test_imported_texts_meet_every_expectation(tmp_path: Path) -> None:
    """What import_local makes passes the checks of the stage `validate`."""
    found = import_from(tmp_path, csv_texts(tmp_path))
    folder = settings_of(tmp_path).data_cache / found.digest
    described = read_description(folder)
    outcomes = judge(tables_of(folder, described), described, tmp_path / "docs", tmp_path, lambda _: None)
    assert [outcome for outcome in outcomes if not outcome["success"]] == []


def csv_pictures(root: Path) -> Path:
    names = write_pictures(root / "photos" / "all", COUNT)
    rows = [(f"all/{name}", label) for name, label in zip(names, LABELS, strict=True)]
    write_csv(root / "photos" / "labels.csv", [("path", "label"), *rows])
    return root / "photos"


def jsonl_pictures(root: Path) -> Path:
    names = write_pictures(root / "photos" / "all", COUNT)
    rows = [{"file_name": f"all/{name}", "label": label} for name, label in zip(names, LABELS, strict=True)]
    return write_jsonl(root / "photos" / "metadata.jsonl", rows)


def parquet_pictures(root: Path) -> Path:
    pq.write_table(pa.table({"image": encoded(COUNT), "label": LABELS}), root / "photos.parquet")
    return root / "photos.parquet"


def parquet_paths(root: Path) -> Path:
    names = write_pictures(root / "photos", COUNT)
    pq.write_table(pa.table({"path": names, "label": LABELS}), root / "photos" / "list.parquet")
    return root / "photos" / "list.parquet"


def hub_parquet(root: Path) -> Path:
    table = picture_table(COUNT, [NAMES.index(label) for label in LABELS])
    described = json.dumps({"info": {"features": PICTURE_FEATURES}})
    pq.write_table(table.replace_schema_metadata({"huggingface": described}), root / "hub.parquet")
    return root / "hub.parquet"


def saved_pictures(root: Path) -> Path:
    table = picture_table(COUNT, [NAMES.index(label) for label in LABELS])
    return write_saved(root / "saved", table, PICTURE_FEATURES)


@pytest.mark.parametrize(
    ("make", "read_as"),
    [
        (csv_pictures, "pictures from labels.csv: column `path`, labels `label`"),
        (jsonl_pictures, "pictures from metadata.jsonl: column `file_name`, labels `label`"),
        (parquet_pictures, "pictures from photos.parquet: column `image`, labels `label`, 240 rows"),
        (parquet_paths, "pictures from list.parquet: column `path`, labels `label`, 240 rows"),
        (hub_parquet, "pictures from hub.parquet: column `image`, labels `label`, 240 rows"),
        (saved_pictures, "pictures from saved: column `image`, labels `label`, 240 rows"),
    ],
)
def test_pictures_of_every_table_are_read(tmp_path: Path, make: Callable[[Path], Path], read_as: str) -> None:
    """Each picture comes out with the served pixels and the name of its label."""
    found = import_from(tmp_path, make(tmp_path))
    expected = {
        pixels_of(content, SHAPE).tobytes(): label for content, label in zip(encoded(COUNT), LABELS, strict=True)
    }
    assert labels_of_pictures(tmp_path, found) == expected
    assert (found.read_as, found.rejected) == (read_as, 0)


def test_whole_numbers_are_sorted_by_value(tmp_path: Path) -> None:
    """The class 10 comes after the class 9, as in the outputs of a model that counts."""
    rows = [{"text": text, "label": number % 12} for number, text in enumerate(sentences(960))]
    assert import_from(tmp_path, write_jsonl(tmp_path / "n.jsonl", rows)).labels == tuple(map(str, range(12)))


def test_class_folders_win_over_notes_and_lose_to_a_manifest(tmp_path: Path) -> None:
    """A text file or a table without pictures beside class folders does not change what is read."""
    root = photos(tmp_path / "photos")
    (root / "readme.txt").write_text("notes")
    write_csv(root / "prices.csv", [("animal", "price"), ("cat", 3)])
    assert import_from(tmp_path, root).read_as == "pictures, a folder for each class: 3 classes, 180 files"
    (root / "prices.csv").unlink()
    rows = [(f"{name}/{number:03d}.png", number % 2) for name in ("cat", "owl's") for number in range(60)]
    write_csv(root / "labels.csv", [("path", "label"), *rows])
    found = import_from(tmp_path, root)
    assert (found.labels, sum(found.counts.values())) == (("0", "1"), 120)


def test_class_folders_of_text_files_are_texts(tmp_path: Path) -> None:
    """Each file is one text, with its line ends as spaces; a file of another kind is left out with a reason."""
    for number, text in enumerate(TEXTS):
        path = tmp_path / "reviews" / NAMES[number % 2] / "deep" / f"{number}.TXT"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xef\xbb\xbf" * (number % 2) + text.replace(" ", "\r\n", 1).encode())
    (path.parent / "scan.pdf").write_bytes(b"%PDF")
    (path.parent / "large.txt").write_bytes(b" " * 5_000_000)
    (path.parent / "latin.txt").write_bytes("Größe".encode("latin-1"))
    found = import_from(tmp_path, tmp_path / "reviews", task="text-classification")
    assert found.read_as == "texts, a folder for each class: 2 classes, 243 files"
    assert texts_of(tmp_path, found) == {text: NAMES[number % 2] for number, text in enumerate(TEXTS)}
    said = {Path(path).name: reason for path, reason in reasons_of(found).items()}
    assert said["scan.pdf"].startswith("it does not end in .txt, as texts do")
    assert said["large.txt"] == "the file is too large; give a text of at most 20,000 characters"
    assert said["latin.txt"] == "the text is not valid UTF-8; save it as UTF-8"


@pytest.mark.parametrize(
    ("header", "options", "columns"),
    [
        (("title", "label"), {}, "column `title`, labels `label`"),
        (("title", "topic"), {"text_column": "title"}, "column `title`, no labels"),
        (("title", "topic"), {"text_column": "title", "label_column": "topic"}, "column `title`, labels `topic`"),
        (("text", "label"), {"task": "text-embedding"}, "column `text`, no labels"),
        (("text", "path"), {"task": "text-embedding"}, "column `text`, no labels"),
    ],
)
def test_options_choose_columns(tmp_path: Path, header: tuple[str, str], options: Any, columns: str) -> None:
    """The task and two options decide where a header leaves it open."""
    found = import_from(tmp_path, write_csv(tmp_path / "t.csv", [header, *PAIRS]), **options)
    assert found.read_as == f"texts from t.csv: {columns}"


def test_equal_texts_count_once(tmp_path: Path) -> None:
    """Whitespace and the form of an accent make no second text, and the first row stays."""
    (tmp_path / "t.txt").write_text("\n".join([*TEXTS, f"  {TEXTS[3]} ", "Gro\u0308ße", "Größe"]), encoding="utf-8")
    found = import_from(tmp_path, tmp_path / "t.txt")
    assert sum(found.counts.values()) == COUNT + 1
    assert reasons_of(found) == {
        "t.txt:241": "its text is that of t.txt:4",
        "t.txt:243": "its text is that of t.txt:242",
    }


def test_a_filtered_dataset_is_read_and_its_count_told(tmp_path: Path) -> None:
    """The description of a filtered dataset counts the rows of the whole; the files decide."""
    features = {"text": {"_type": "Value", "dtype": "string"}}
    root = write_saved(tmp_path / "saved", pa.table({"text": TEXTS}), features, 60_000)
    assert import_from(tmp_path, root).read_as.endswith(
        "240 rows (dataset_info.json counts 60,000; if the dataset was not filtered, copy it again)"
    )


def test_a_deep_picture_and_a_turned_one_in_a_table_have_the_served_pixels(tmp_path: Path) -> None:
    """A table's pictures are read like files: 16 bits, CMYK, a palette with alpha and EXIF do not matter."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).convert("P")
    odd = [
        as_bytes(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160)),
        as_bytes(picture(6, "CMYK"), "JPEG"),
        as_bytes(picture(8), "JPEG", exif=exif),
        as_bytes(palette, transparency=3),
    ]
    contents = [*encoded(COUNT - 4), *odd]
    pq.write_table(pa.table({"image": contents, "label": LABELS}), tmp_path / "photos.parquet")
    read = labels_of_pictures(tmp_path, import_from(tmp_path, tmp_path / "photos.parquet"))
    assert {pixels_of(content, SHAPE).tobytes() for content in contents} == read.keys()
