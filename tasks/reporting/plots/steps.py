"""The waterfall picture: the quality that each step of the recipe lost, and the bytes and time that it saved."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stillhouse.tasks.reporting.plots.drawing import BAD, GOOD, INK, STUDENT, THREAD, note, picture
from stillhouse.tasks.reporting.quantities import points, size, times
from stillhouse.tasks.reporting.run_record import StageRecord


def waterfall(stages: Sequence[StageRecord]) -> str:
    """Draw each judged step's change of quality on the split `validation`, of file size in bytes, and of time."""
    judged = {stage.name.removeprefix("step_"): stage.step for stage in stages if stage.step and stage.step["cost"]}

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3, sharey=True)
        names = [name if step["kept"] else f"{name} (dropped)" for name, step in judged.items()]
        left.set_yticks(range(len(names)), names)
        left.invert_yaxis()
        _quality(left, [step["gained"] for step in judged.values()])
        _bytes(middle, [step["cost"]["bytes"] for step in judged.values()])
        _time(right, [step["cost"]["speedup"] for step in judged.values()])

    return picture(10, 1.1 + 0.42 * len(judged), "What each step cost and saved", draw)


def _quality(axes: Axes, gains: Sequence[float]) -> None:
    axes.set_title("quality, points")
    axes.barh(
        range(len(gains)), [100 * gain for gain in gains], color=[BAD if g < 0 else GOOD for g in gains], height=0.5
    )
    axes.axvline(0, color=THREAD, linewidth=0.9)
    reach = max(0.5, *(abs(100 * gain) for gain in gains))
    axes.set_xlim(-1.4 * reach, 1.4 * reach if max(gains) > 0 else 0.5 * reach)
    axes.set_xticks([])
    axes.grid(visible=False, axis="y")
    for place, gain in enumerate(gains):
        note(axes, points(gain), (100 * gain, place), (4 if gain >= 0 else -30, 0), align="center")


def _bytes(axes: Axes, sizes: Sequence[Mapping[str, int]]) -> None:
    axes.set_title("bytes, times fewer")
    ratios = [found["before"] / found["after"] for found in sizes]
    _ratios(axes, ratios)
    for place, (ratio, found) in enumerate(zip(ratios, sizes, strict=True)):
        text = f"{times(ratio)}: {size(found['after'])}"
        note(axes, text, (max(ratio, 1), place), (4, 0), align="center")


def _time(axes: Axes, speedups: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title("time, times as fast")
    _ratios(axes, [found["value"] for found in speedups])
    for place, found in enumerate(speedups):
        axes.plot(found["interval"], [place, place], color=INK, linewidth=1.2)
        note(axes, times(found["value"]), (max(found["interval"][1], 1), place), (4, 0), align="center")


def _ratios(axes: Axes, ratios: Sequence[float]) -> None:
    """Draw bars from 1 on a log axis without ticks. The label of each bar gives its value."""
    axes.barh(range(len(ratios)), [ratio - 1 for ratio in ratios], left=1, color=STUDENT, height=0.5)
    axes.axvline(1, color=THREAD, linewidth=0.9)
    axes.set_xscale("log")
    axes.set_xlim(0.8, 3 * max(ratios))
    axes.set_xticks([])
    axes.minorticks_off()
    axes.grid(visible=False)
