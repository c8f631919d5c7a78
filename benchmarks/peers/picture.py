"""The Pareto picture: points lost against bytes and against time, losing rows included."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.peers.table import Measured, Row, faster, front, smaller

LOWEST = -3.0
"""Rows that lose more points are drawn at the edge, with their number."""
MARKERS = "osD^vPX<>hp"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the picture as PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    points = [row.measured.points for row in rows if row.measured]
    limits = (max(LOWEST, min(points)) - 0.3, max(points) + 0.3)
    tools = list(dict.fromkeys(row.tool for row in rows if row.measured))
    for panel, better, axis in zip(panels, (smaller, faster), ("times smaller", "times faster"), strict=True):
        for at, tool in enumerate(tools):
            _points(panel, [row for row in rows if row.tool == tool], better, at)
        _front(panel, rows, better)
        panel.set(xscale="log", xlabel=f"{axis} than the fp32 teacher", ylim=limits)
        panel.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}x"))
        panel.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        panel.set_xticks(_ticks([better(row.measured) for row in rows if row.measured]))
        panel.axhline(-0.5, color="grey", linewidth=0.8, linestyle=":")
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("accuracy, points to the teacher (test split)")
    note = {"transform": panels[0].get_yaxis_transform(), "color": "grey", "fontsize": 8, "va": "top"}
    panels[0].text(0.01, -0.52, "half a point lost", **note)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _points(panel: Any, rows: Sequence[Row], better: Callable[[Measured], float], at: int) -> None:  # noqa: ANN401
    found = [row.measured for row in rows if row.measured]
    ours = rows[0].ours
    panel.scatter(
        [better(measured) for measured in found],
        [max(measured.points, LOWEST) for measured in found],
        s=170 if ours else 46,
        marker="*" if ours else MARKERS[at % len(MARKERS)],
        color="black" if ours else f"C{at % 10}",
        alpha=0.85,
        zorder=4 if ours else 3,
        label=rows[0].tool,
    )
    for measured in found:
        if measured.points < LOWEST:
            where = (better(measured), LOWEST)
            panel.annotate(
                f"{measured.points:.0f}", where, (0, -11), textcoords="offset points", fontsize=7, ha="center"
            )


def _front(panel: Any, rows: Sequence[Row], better: Callable[[Measured], float]) -> None:  # noqa: ANN401
    kept = [row.measured for row in front(rows, better) if row.measured and row.measured.points >= LOWEST]
    across, down = [better(m) for m in kept], [m.points for m in kept]
    panel.step(across, down, where="pre", color="black", linewidth=0.9, alpha=0.5, zorder=2, label="Pareto front")


def _ticks(ratios: Sequence[float]) -> list[float]:
    return [
        tick
        for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
        if 0.7 * min(ratios) <= tick <= 1.4 * max(ratios)
    ]
