"""Fit a line to each measurement of docs/scale.json, and say what it is at the target.

`.venv/bin/python benchmarks/scale/fit.py` prints the table of docs/scale.md and writes docs/scale.png. The law is
`a + b x`, because each part does the same work for each recipe, run, byte or row.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from points import FILE, read

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One quantity against one size."""

    title: str
    points: str
    x: str
    y: str
    target: float
    unit: str


LINES = (
    Line("DAG files, all, read once", "recipes", "recipes", "read", 1_000, "core seconds"),
    Line("DAG files, all, serialized once", "recipes", "recipes", "stored", 1_000, "core seconds"),
    Line("DAG file of the nights, whole", "recipes", "recipes", "nightly", 1_000, "core seconds"),
    Line("DAG file of the nights, in a task", "recipes", "recipes", "task", 1_000, "core seconds"),
    Line("memory of reading the DAG files", "recipes", "recipes", "megabytes", 1_000, "MB"),
    Line("mapped candidates, wall", "mapped_bare", "candidates", "seconds", 10_000, "seconds"),
    Line("look-up of a key, SQLite", "tracking_sqlite", "runs", "find_finished", 780_000, "seconds"),
    Line("look-up of a key, Postgres", "tracking_postgresql", "runs", "find_finished", 780_000, "seconds"),
    Line("look-up of a night, SQLite", "tracking_sqlite", "runs", "find_nightly", 780_000, "seconds"),
    Line("stages of a night, SQLite", "tracking_sqlite", "runs", "children", 780_000, "seconds"),
    Line("stages of a night, Postgres", "tracking_postgresql", "runs", "children", 780_000, "seconds"),
    Line("facts of `gc`, SQLite", "tracking_sqlite", "runs", "gc_facts", 780_000, "seconds"),
    Line("facts of `gc`, Postgres", "tracking_postgresql", "runs", "gc_facts", 780_000, "seconds"),
    Line("SHA-256 of data", "data_shards", "megabytes", "sha256", 100e12 / 2**20, "core seconds"),
    Line("MD5 of data", "data_shards", "megabytes", "md5", 100e12 / 2**20, "core seconds"),
    Line("push", "data_shards", "megabytes", "push", 100e12 / 2**20, "core seconds"),
    Line("pull and check", "data_shards", "megabytes", "pull", 100e12 / 2**20, "core seconds"),
    Line("push of small files", "data_files", "files", "push", 1e6, "core seconds"),
    Line("pull of small files", "data_files", "files", "pull", 1e6, "core seconds"),
    Line("Great Expectations", "data_rows", "rows", "validate", 100e6, "core seconds"),
    Line("memory of Great Expectations", "data_rows", "rows", "megabytes", 100e6, "MB"),
)


def main() -> None:
    """Print a row for each line, and draw all lines."""
    known, drawn = read(), []
    print("| part | points, from and to | fit | R2 | at the target | times the largest point |")
    print("|---|---|---|---|---|---|")
    for line in LINES:
        points = [each for each in known.get(line.points, []) if line.y in each and "indexed" not in each]
        if len(points) < 3:  # noqa: PLR2004 - two points fit every line
            continue
        x, y = (np.array([each[name] for each in points], dtype=float) for name in (line.x, line.y))
        text, error, law = fit(x, y)
        print(
            f"| {line.title} | {len(x)}: {x.min():,.0f} to {x.max():,.0f} {line.x}, {y.min():.3g} to {y.max():.3g} "
            f"{line.unit} | {text} | {error:.3f} | {law(np.array([line.target]))[0]:,.3g} {line.unit} at "
            f"{line.target:,.0f} | {line.target / x.max():,.0f} |"
        )
        drawn.append((line, x, y, law))
    draw(drawn)


def fit(x: Numbers, y: Numbers) -> tuple[str, float, Callable[[Numbers], Numbers]]:
    """Return the law as text, its R2, and the law."""
    slope, start = np.polyfit(x, y, 1)
    rest = float(((start + slope * x - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return f"{start:.3g} + {slope:.3g} x", 1 - rest, lambda at: start + slope * at


def draw(drawn: list[tuple[Line, Numbers, Numbers, Callable[[Numbers], Numbers]]]) -> None:
    """Draw the points of each line, and the line up to its target."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(drawn) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(12, 2.6 * rows), layout="constrained")
    for (line, x, y, law), axis in zip(drawn, axes.flat, strict=False):
        at = np.geomspace(x.min(), max(line.target, x.max()), 50)
        axis.loglog(at, np.maximum(law(at), y.min() / 10), "--", color="tab:gray")
        axis.loglog(x, y, "o", color="tab:blue")
        axis.loglog([at[-1]], law(at[-1:]), "x", color="tab:red")
        axis.set(title=line.title, xlabel=line.x, ylabel=line.unit)
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    figure.savefig(FILE.with_suffix(".png"), dpi=70)


if __name__ == "__main__":
    main()
