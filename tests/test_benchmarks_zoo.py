"""The table of users' models is made from small files, and they from the results of runs."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.zoo import BEGIN, END, PAGE, ZOO, keep, table, write_table

WORDS = {"model": "A model", "data": "some data", "target": None}
POINT = {"words": "int8", "verdict": "FAIL", "bytes": 3.9, "latency": 2.5, "latency_interval": [2.4, 2.6]}
POINT |= {"quality": 0.99, "quality_interval": [0.98, 1.01], "minutes": 2.0}
LADDER = {"chosen": "few", "points": [POINT | {"rung": "int8"}, POINT | {"rung": "few", "words": "6 bits"}]}
RATIOS = {"bytes": 100.2, "latency": 12.0, "latency_interval": [11, 13], "quality": 1.0, "quality_interval": [1, 1]}
SUMMARY = {"recipe": "mine", "verdict": "PASS", "ratios": RATIOS, "dag_seconds": 300.0, "error": None}


def result(folder: Path, file: str, content: object) -> Path:
    """Make the folder of a result."""
    folder.mkdir()
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_the_table_of_the_page_is_that_of_the_files(tmp_path: Path) -> None:
    """Whoever changes a file of the zoo writes the table again: `python benchmarks/zoo.py`."""
    page = Path(shutil.copy(PAGE, tmp_path))
    write_table(page, ZOO)
    assert page.read_text("utf-8") == PAGE.read_text("utf-8")
    assert len(list(ZOO.glob("*.json"))) >= 2


def test_a_climb_becomes_a_row_of_the_chosen_rung(tmp_path: Path) -> None:
    """The minutes are those of all rungs, and the loss is what the student does not keep."""
    path = keep(result(tmp_path / "mine", "ladder.json", LADDER), WORDS, tmp_path / "zoo")
    row = table([json.loads(path.read_text("utf-8"))]).splitlines()[-1]
    assert path == tmp_path / "zoo" / "mine.json"
    assert row == (
        "| A model, some data | ONNX Runtime, one thread | `compress`: 6 bits | FAIL | 3.90x | 2.50x (2.40 to 2.60) "
        "| 1.00% (-1.00 to 2.00) | 4 |"
    )


def test_a_night_becomes_a_row(tmp_path: Path) -> None:
    """Its recipe gives the name."""
    path = keep(result(tmp_path / "latest", "summary.json", SUMMARY), WORDS, tmp_path / "zoo")
    row = table([json.loads(path.read_text("utf-8"))]).splitlines()[-1]
    assert path.name == "mine.json"
    assert "| recipe `mine` | PASS | 100x | 12.0x (11.0 to 13.0) | 0.00% (0.00 to 0.00) | 5 |" in row


def test_a_second_result_of_a_name_keeps_the_words_of_the_first(tmp_path: Path) -> None:
    """The numbers are the new ones."""
    folder = result(tmp_path / "mine", "ladder.json", LADDER)
    keep(folder, WORDS | {"target": "LiteRT"}, tmp_path / "zoo")
    (folder / "ladder.json").write_text(json.dumps(LADDER | {"chosen": "int8"}), encoding="utf-8")
    path = keep(folder, dict.fromkeys(WORDS), tmp_path / "zoo")
    found = json.loads(path.read_text("utf-8"))
    assert (found["model"], found["target"], found["way"]) == ("A model", "LiteRT", "`compress`: int8")


def test_what_is_no_result_is_told(tmp_path: Path) -> None:
    """A folder without a result, a run that broke, a name without words, and a page without marks."""
    with pytest.raises(SystemExit, match=r"has no ladder.json and no summary.json; name a result"):
        keep(tmp_path, WORDS, tmp_path / "zoo")
    broken = result(tmp_path / "broken", "summary.json", SUMMARY | {"ratios": None, "error": "the loss is NaN"})
    with pytest.raises(SystemExit, match=r"measured nothing \(the loss is NaN\); name a whole run"):
        keep(broken, WORDS, tmp_path / "zoo")
    whole = result(tmp_path / "whole", "ladder.json", LADDER)
    with pytest.raises(SystemExit, match=r"whole.json is new in .*; describe it with --model and --data$"):
        keep(whole, dict.fromkeys(WORDS), tmp_path / "zoo")
    page = tmp_path / "page.md"
    page.write_text(f"{END}\n{BEGIN}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="restore both"):
        write_table(page, tmp_path / "zoo")
