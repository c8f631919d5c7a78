"""The report's pictures of the work: the training curves and the time of each stage."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stillhouse.tasks.reporting.plots.drawing import BAD, INK, PAPER, QUIET, STUDENT, TEACHER, note, picture, ticks_in
from stillhouse.tasks.reporting.quantities import MINUTE, duration, percent_limit
from stillhouse.tasks.reporting.run_record import StageRecord


def training_curve(stage: StageRecord) -> str:
    """Draw one stage's training loss over its epochs, above the accuracy on the split `validation`."""

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        _curve(upper, stage.history.get("train_loss", ()), INK)
        upper.set_ylabel("train loss")
        upper.set_title(stage.name)
        _curve(lower, stage.history.get("validation_quality", ()), TEACHER if stage.kind == "teacher" else STUDENT)
        lower.set_ylabel("validation quality")
        lower.yaxis.set_major_formatter(ticks_in(percent_limit))
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))

    return picture(3.3, 3.2, f"Training loss and validation quality of {stage.name}", draw)


def stage_times(stages: Sequence[StageRecord]) -> str:
    """Draw the wall time of every stage, in the order in which the stages ran. Hollow bars are reused stages."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, stage in enumerate(stages):
            _bar(axes, place, stage)
        axes.set_yticks(range(len(stages)), [stage.name for stage in stages])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.2, 3, 6, 10]))
        axes.xaxis.set_major_formatter(ticks_in(_clock))

    return picture(10, 0.7 + 0.27 * len(stages), "Wall time of every stage", draw)


def _curve(axes: Axes, values: Sequence[tuple[int, float]], colour: str) -> None:
    steps = [step for step, _ in values]
    axes.plot(steps, [value for _, value in values], color=colour, marker="o", markersize=2.8, linewidth=1.5)


def _bar(axes: Axes, place: int, stage: StageRecord) -> None:
    colour = BAD if stage.status == "FAILED" else TEACHER
    seconds = stage.seconds or 0.0
    axes.barh(place, seconds, color=PAPER if stage.reused_from else colour, edgecolor=colour, height=0.62)
    note(axes, _time_label(stage), (seconds, place), (5, 0), colour=QUIET, align="center")


def _time_label(stage: StageRecord) -> str:
    if stage.seconds is None:
        return stage.status.lower()
    suffix = ", reused" if stage.reused_from else ", failed" if stage.status == "FAILED" else ""
    return duration(stage.seconds) + suffix


def _clock(seconds: float) -> str:
    return f"{seconds / MINUTE:g} min" if seconds % MINUTE == 0 else duration(seconds)
