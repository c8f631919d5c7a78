"""Write what was measured: peers.md for people, peers.json for tools, and the picture pareto.png of the page."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.picture import draw
from benchmarks.peers.table import Measured, Row, best, faster, front, markdown, smaller
from stillhouse.models.measurement.statistics import geometric_interval

MOST_LOST = 0.5
"""Points: what counts as equal accuracy."""
HOW = """\
- **Quality** is that of the file that ships, in its own runtime, one image at a time. Points are
  paired with the teacher's on the same images.
- **Bytes** are all files that a deployment needs beside the runtime, raw and by zstd at level 19.
- **Time** is measured at batch 1 on one pinned thread. All rows take turns in one process, and a
  repeat is a fresh process. The ratio of 10th percentiles has its interval over repeats.
- **Intervals** are two-sided at {confidence:.0%}.
- Rows that lose stay in."""


def write(out: Path, rows: Sequence[Row], about: dict[str, Any], confidence: float) -> None:
    """Write the three files into a folder.

    Args:
        out: where.
        rows: the teacher's first.
        about: machine, versions, command, date and whatever else a reader must know.
        confidence: of the intervals.
    """
    out.mkdir(parents=True, exist_ok=True)
    untrained = [row for row in rows if row.ours or not row.trained]
    headline = [
        _against(chosen, kind, better, confidence)
        for chosen, which in ((rows, ""), (untrained, " untrained"))
        for kind, better in ((f"Smallest{which}", smaller), (f"Fastest{which}", faster))
    ]
    content = {"about": about, "headline": headline, "rows": [asdict(row) for row in rows]}
    (out / "peers.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(rows, out / "pareto.png")
    (out / "peers.md").write_text(_page(rows, headline, about, confidence), encoding="utf-8")


def _against(rows: Sequence[Row], kind: str, better: Callable[[Measured], float], confidence: float) -> dict[str, Any]:
    """Set the peer that is best in one respect against each of ours that loses as little."""
    peer = best(rows, better, MOST_LOST, ours=False)
    mine = best(rows, better, MOST_LOST, ours=True)
    if peer is None or mine is None or peer.measured is None or mine.measured is None:
        return {"kind": kind, "peer": peer and peer.name, "ours": mine and mine.name}
    pairs = zip(peer.measured.milliseconds_of_repeats, mine.measured.milliseconds_of_repeats, strict=True)
    ratio, interval = geometric_interval([theirs / own for theirs, own in pairs], confidence)
    return {
        "kind": kind,
        "peer": peer.name,
        "ours": mine.name,
        "smaller": peer.measured.bytes / mine.measured.bytes,
        "faster": ratio,
        "faster_interval": interval,
    }


def _page(rows: Sequence[Row], headline: list[dict[str, Any]], about: dict[str, Any], confidence: float) -> str:
    fronts = [[row.name for row in front(rows, better)] for better in (smaller, faster)]
    on = [[row.name, *("yes" if row.name in names else "" for names in fronts)] for row in rows]
    return "\n".join(
        [
            "# The same teacher, compressed by other tools",
            "",
            "This page is for a person who asks how Stillhouse compares with other compression tools. It has the",
            "measurements of each tool on one teacher, and says how they were made.",
            "",
            f"Each tool compresses the same teacher. The peers of this table lose at most {MOST_LOST} points to the",
            "teacher. The last two columns compare our student with the peer. An untrained peer is made without",
            "training.",
            "",
            "| the | peer | our student | is smaller | is faster |",
            "|---|---|---|---|---|",
            *map(_compared, headline),
            "",
            "![Points to the teacher against bytes and time](pareto.png)",
            "",
            "## All rows",
            "",
            markdown(rows),
            "",
            "## The Pareto front",
            "",
            "No other row beats these rows in both points and bytes, or in both points and time.",
            "",
            "| row | points and bytes | points and time |",
            "|---|---|---|",
            *(f"| {' | '.join(cells)} |" for cells in on if any(cells[1:])),
            "",
            "## How it was measured",
            "",
            HOW.format(confidence=confidence),
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in about.items()),
            "",
        ]
    )


def _compared(line: dict[str, Any]) -> str:
    if "smaller" not in line:
        who = "no peer" if line["peer"] is None else "no student of ours"
        return f"| {line['kind'].lower()} | {who} stays within that | | | |"
    low, high = line["faster_interval"]
    return (
        f"| {line['kind'].lower()} | {line['peer']} | {line['ours']} | {line['smaller']:.1f} times | "
        f"{line['faster']:.2f} ({low:.2f} to {high:.2f}) times |"
    )
