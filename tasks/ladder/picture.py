"""The Pareto picture of a climb: how much smaller each rung is, how much quality it keeps, and how fast it is."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.verdict import Point, is_best
from stillhouse.tasks.reporting.plots.drawing import (
    DASHES,
    GOOD,
    QUIET,
    STUDENT,
    TEACHER,
    THREAD,
    note,
    picture,
    ticks_in,
)
from stillhouse.tasks.reporting.quantities import percent_limit, times, times_limit


def draw_points(points: Sequence[Point], goals: Goals) -> str:
    """Return inline SVG with every rung. A ring marks the points that no other point beats."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, name, limit in ((left, "bytes", goals.smaller), (right, "latency", goals.faster)):
            _draw(axes, points, name, limit, goals.keep)
        left.set_title("Quality kept against size")
        left.set_xlabel("times smaller")
        right.set_title("Quality kept against speed")
        right.set_xlabel("times as fast")
        left.yaxis.set_major_formatter(ticks_in(percent_limit))

    return picture(10, 3.9, "Every rung: quality kept against size and against speed, with the goals", draw)


def _draw(axes: Axes, points: Sequence[Point], name: str, limit: float, keep: float) -> None:
    axes.axhline(keep, color=THREAD, linestyle=DASHES)
    axes.axvline(limit, color=THREAD, linestyle=DASHES)
    axes.plot(1, 1, "s", color=TEACHER)
    note(axes, "teacher", (1, 1), (6, -10), colour=TEACHER)
    for number, point in enumerate(points, start=1):
        at = getattr(point, name), point.quality
        colour = GOOD if point.verdict == "PASS" else STUDENT
        axes.plot(*at, "o", color=colour, markersize=7)
        if is_best(point, points):
            axes.plot(*at, "o", markersize=13, markerfacecolor="none", markeredgecolor=colour)
        note(axes, str(number), at, (7, 5), colour=colour)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticks_in(times_limit))
    axes.xaxis.set_minor_formatter(NullFormatter())
    note(axes, times(limit), (limit, 0.02), (3, 0), colour=QUIET, coordinates=("data", "axes fraction"))
