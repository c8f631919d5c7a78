"""Write the table of users' models in docs/zoo.md from the results of `stillhouse compress` and of recipes.

`PYTHONPATH=src .venv/bin/python benchmarks/zoo.py [RESULT ...] [--model WORDS --data WORDS]`

A RESULT is a folder with the ladder.json of `compress`, or one with the summary.json of a run. What the table needs of
it goes into docs/zoo/<name>.json. The words for the model and its data are needed once for each name. Without a RESULT
the table is only written again. It never measures anything.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stillhouse.models.aside import write_aside
from stillhouse.tasks.artifacts.artifact import write_json

ROOT = Path(__file__).resolve().parents[1]
ZOO, PAGE = ROOT / "docs" / "zoo", ROOT / "docs" / "zoo.md"
BEGIN, END = "<!-- zoo: made by benchmarks/zoo.py from docs/zoo/ -->", "<!-- zoo: end -->"
HEAD = ("model, data", "target", "way", "verdict", "smaller", "faster", "loss of quality", "minutes")
TARGET = "ONNX Runtime, one thread"
Row = dict[str, Any]


def main() -> None:
    """Keep what the table needs of each result, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path, help="folders with a ladder.json or a summary.json")
    parser.add_argument("--model", help="words for the model, such as 'MiniLM-L6 (22.7M parameters)'")
    parser.add_argument("--data", help="words for its data, such as '30,000 glosses of WordNet, no labels'")
    parser.add_argument("--target", help=f"the runtime that was measured, if it is not {TARGET}")
    asked = parser.parse_args()
    words = {"model": asked.model, "data": asked.data, "target": asked.target}
    for result in asked.results:
        print(keep(result.resolve(), words, ZOO))
    write_table(PAGE, ZOO)


def keep(result: Path, words: Mapping[str, str | None], zoo: Path) -> Path:
    """Write the file of one result.

    Args:
        result: folder with a ladder.json or a summary.json.
        words: `model`, `data` and `target`. If one is None, the older file of the name has it.
        zoo: folder of the files.

    Returns:
        The file.

    Raises:
        SystemExit: the result is not there, or nothing says what the model and its data are.
    """
    name, row = read_result(result)
    path = zoo / f"{name}.json"
    known = {"target": TARGET} | (json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})
    said = {key: value or known.get(key) for key, value in words.items()}
    if missing := [f"--{key}" for key, value in said.items() if not value]:
        msg = f"{path.name} is new in {zoo}; describe it with {' and '.join(missing)}"
        raise SystemExit(msg)
    zoo.mkdir(exist_ok=True)
    write_json(path, said | row)
    return path


def read_result(result: Path) -> tuple[str, Row]:
    """Return the name of a result and its numbers: ratios are teacher / student, `kept` is student / teacher.

    Raises:
        SystemExit: the folder has neither a ladder.json nor a summary.json with measurements.
    """
    for file, read in (("ladder.json", _of_ladder), ("summary.json", _of_summary)):
        if (result / file).is_file():
            return read(result, json.loads((result / file).read_text(encoding="utf-8")))
    msg = f"{result} has no ladder.json and no summary.json; name a result of `stillhouse compress` or of a run"
    raise SystemExit(msg)


def _of_ladder(result: Path, ladder: Mapping[str, Any]) -> tuple[str, Row]:
    point = next(each for each in ladder["points"] if each["rung"] == ladder["chosen"])
    return result.name, {
        "way": f"`compress`: {point['words']}",
        "verdict": point["verdict"],
        "smaller": point["bytes"],
        "faster": point["latency"],
        "faster_interval": point["latency_interval"],
        "kept": point["quality"],
        "kept_interval": point["quality_interval"],
        "minutes": sum(each["minutes"] for each in ladder["points"]),
    }


def _of_summary(result: Path, summary: Mapping[str, Any]) -> tuple[str, Row]:
    ratios = summary["ratios"]
    if ratios is None:
        msg = f"{result} measured nothing ({summary['error']}); name a whole run"
        raise SystemExit(msg)
    return summary["recipe"], {
        "way": f"recipe `{summary['recipe']}`",
        "verdict": summary["verdict"],
        "smaller": ratios["bytes"],
        "faster": ratios["latency"],
        "faster_interval": ratios["latency_interval"],
        "kept": ratios["quality"],
        "kept_interval": ratios["quality_interval"],
        "minutes": summary["dag_seconds"] / 60,
    }


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write the rows as a Markdown table, the models in alphabetical order."""
    ordered = sorted(rows, key=lambda row: (row["model"].lower(), row["target"], row["smaller"]))
    lines = [HEAD, ("---",) * len(HEAD), *map(_cells, ordered)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = row["faster_interval"]
    least, most = (100 * (1 - end) for end in reversed(row["kept_interval"]))
    return (
        f"{row['model']}, {row['data']}",
        row["target"],
        row["way"],
        row["verdict"],
        f"{_ratio(row['smaller'])}x",
        f"{_ratio(row['faster'])}x ({_ratio(low)} to {_ratio(high)})",
        f"{100 * (1 - row['kept']):.2f}% ({least:.2f} to {most:.2f})",
        f"{row['minutes']:.0f}",
    )


def _ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"  # noqa: PLR2004 - above, .3g writes 1e+02


def write_table(page: Path, zoo: Path) -> None:
    """Write the table of all files of the zoo between the two marks of the page.

    Raises:
        SystemExit: the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        msg = f"{page} lacks the line {BEGIN} or the line {END} after it; restore both"
        raise SystemExit(msg)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(zoo.glob("*.json"))]
    with write_aside(page) as aside:
        aside.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
