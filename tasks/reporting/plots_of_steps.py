"""The loss waterfall: what each step of the recipe cost in quality, and what it saved in bytes and time."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.reporting.drawing import BAD, GOOD, INK, QUIET, STUDENT, THREAD, note, picture
from tasks.reporting.quantities import points, size, times
from tasks.reporting.run_record import StageRecord


def waterfall(stages: Sequence[StageRecord]) -> str:
    """Draw each judged step's change of search quality, of the exported file's bytes, and of its time."""
    judged = [(stage, stage.step) for stage in stages if stage.step and stage.step["cost"]]

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3, sharey=True)
        names = [f"{stage.name.removeprefix('step_')}{'' if step['kept'] else ' (dropped)'}" for stage, step in judged]
        left.set_yticks(range(len(names)), names)
        left.invert_yaxis()
        _bars(left, "quality, points", [100 * step["gained"] for _, step in judged], _points)
        _bars(middle, "bytes, times fewer", [_smaller(step["cost"]["bytes"]) for _, step in judged], times, origin=1)
        speedups = [step["cost"]["speedup"] for _, step in judged]
        _bars(right, "time, times as fast", [speedup["value"] for speedup in speedups], times, origin=1)
        for place, (_, step) in enumerate(judged):
            note(middle, size(step["cost"]["bytes"]["after"]), (1, place), (3, -13), colour=QUIET)
            right.plot(step["cost"]["speedup"]["interval"], [place, place], color=INK, linewidth=1.2)

    return picture(10, 1.1 + 0.42 * len(judged), "What each step cost and saved", draw)


def _bars(axes: Axes, title: str, values: Sequence[float], words: Callable[[float], str], origin: float = 0) -> None:
    colours = [GOOD if value > origin else BAD for value in values] if origin == 0 else STUDENT
    axes.barh(range(len(values)), [value - origin for value in values], left=origin, color=colours, height=0.5)
    axes.axvline(origin, color=THREAD, linewidth=0.9)
    axes.set_title(title)
    axes.margins(x=0.28)
    axes.grid(visible=False, axis="y")
    if origin:
        axes.set_xscale("log")
        axes.set_xticks([])
        axes.minorticks_off()
    for place, value in enumerate(values):
        right = value >= origin
        note(axes, words(value), (value, place), (4 if right else -28, 0), align="center")


def _points(value: float) -> str:
    return points(value / 100)


def _smaller(sizes: Mapping[str, int]) -> float:
    return sizes["before"] / sizes["after"]
