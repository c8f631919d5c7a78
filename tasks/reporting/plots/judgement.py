"""The report's pictures of the outcome: the ratios, size and latency against quality, and the change of each class."""

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from stillhouse.models.evaluation.schema import Classes, Estimate, Evaluation, Model
from stillhouse.tasks.judging.final_test import Opened
from stillhouse.tasks.recipe.judging import Gate
from stillhouse.tasks.reporting.plots.drawing import (
    BAD,
    DASHES,
    GOOD,
    INK,
    QUIET,
    STUDENT,
    TEACHER,
    THREAD,
    note,
    picture,
    ticks_in,
)
from stillhouse.tasks.reporting.quantities import milliseconds, percent_limit, points, size, times_limit
from stillhouse.tasks.reporting.run_record import StageRecord

MOST_CLASSES = 30
LONGEST_LABEL = 28
BIGGEST_DISC = 900
LEVELS = (-16, 8, -28, 20)
"""Distances of the names of steps from their points, so that names of near points do not lie on each other."""
WIDE = 30
"""If the ratio between the ends of a log axis is at least this, the axis gets fewer labels."""


def evidence(evaluation: Evaluation, gate: Gate, tested: Opened | None) -> str:
    """Draw the two ratios that the gate estimates, their intervals, and the limit of each."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        final = {"test split": tested.ratio} if tested else {}
        estimates = {"gate (judged)": evaluation.ratios.quality.gate} | final
        _intervals(left, estimates, gate.quality, percent_limit)
        left.set_title("Quality kept: student / teacher")
        _intervals(right, {"interval": evaluation.ratios.latency}, gate.latency, times_limit)
        repeats = evaluation.latency_ratios
        right.plot(repeats, [1] * len(repeats), "o", color=QUIET, alpha=0.45, markersize=5, markeredgewidth=0)
        right.set_yticks([0, 1], ["interval", "each repeat"])
        right.set_ylim(-0.6, 1.6)
        right.set_title("Speed: teacher time / student time")

    return picture(10, 2.1, "Quality and latency ratios with their intervals, beside the limits", draw)


def trade(evaluation: Evaluation, gate: Gate, stages: Sequence[StageRecord]) -> str:
    """Draw quality against size for every step, and quality against latency for the two exported files."""
    sized = _sizes(stages)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.set_title("Step by step: file that would ship against validation quality")
        if sized:
            _path_of_steps(left, sized)
        else:
            left.text(0.5, 0.5, "no step recorded its size and accuracy", ha="center", transform=left.transAxes)
        _plot_exported(right, evaluation, gate)

    return picture(10, 3.9, "Size, latency and quality from the teacher through each step to the student", draw)


def class_changes(classes: Classes) -> str:
    """Draw the change of recall of each class, worst first."""
    rows = _changes(classes)[:MOST_CLASSES]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        changes = [change for change, *_ in rows]
        axes.barh(range(len(rows)), changes, color=[BAD if c < 0 else GOOD for c in changes], height=0.62)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks(range(len(rows)), [name for _, name, _ in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(ticks_in(points))
        axes.set_xlabel("change of recall on the gate split, percentage points")
        beyond = axes.get_yaxis_transform()
        for place, (change, _, recalls) in enumerate(rows):
            axes.text(1.06, place, points(change), va="center", ha="right", transform=beyond)
            axes.text(1.075, place, recalls, va="center", color=QUIET, transform=beyond)

    return picture(10, 0.9 + 0.27 * len(rows), "Change of recall for each class, worst first", draw)


def _intervals(axes: Axes, estimates: Mapping[str, Estimate], limit: float, words: Callable[[float], str]) -> None:
    for place, estimate in enumerate(estimates.values()):
        axes.plot(estimate.interval, [place, place], color=STUDENT, linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot(estimate.value, place, "o", color=STUDENT, markersize=6)
    axes.axvline(limit, color=INK, linestyle=DASHES, linewidth=1.2)
    note(axes, f"limit {words(limit)}", (limit, 1.0), (5, -9), coordinates=("data", "axes fraction"))
    axes.set_yticks(range(len(estimates)), list(estimates))
    axes.set_ylim(len(estimates) - 0.4, -0.8)
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(ticks_in(words))


def _sizes(stages: Sequence[StageRecord]) -> list[tuple[StageRecord, int]]:
    """Pair the teacher and each kept step with the size of its exported file in bytes, as the steps measured it."""
    judged = [
        (s, s.step["cost"]["bytes"]) for s in stages if s.step and s.step["kept"] and "validation_quality" in s.metrics
    ]
    teacher = [s for s in stages if s.kind == "teacher" and "validation_quality" in s.metrics]
    return [(s, sizes["before"]) for s in teacher for _, sizes in judged[:1]] + [
        (s, sizes["after"]) for s, sizes in judged
    ]


def _path_of_steps(axes: Axes, steps: Sequence[tuple[StageRecord, int]]) -> None:
    scores = [stage.metrics["validation_quality"] for stage, _ in steps]
    axes.plot([bytes_ for _, bytes_ in steps], scores, color=THREAD, linewidth=1.2, zorder=1)
    for place, ((stage, bytes_), score) in enumerate(zip(steps, scores, strict=True)):
        axes.plot(bytes_, score, "o", color=TEACHER if stage.kind == "teacher" else STUDENT, markersize=8)
        name, height = stage.name.removeprefix("step_").replace("_", " "), LEVELS[place % len(LEVELS)]
        note(axes, name, (bytes_, score), (-6, height))
    _log_axis(axes, size)
    _percent_axis(axes)
    axes.set_xlabel("bytes of the exported file, log scale, smaller to the right")


def _plot_exported(axes: Axes, evaluation: Evaluation, gate: Gate) -> None:
    biggest = evaluation.teacher.bytes
    _model(axes, "teacher", evaluation.teacher, TEACHER, BIGGEST_DISC)
    _model(axes, "student", evaluation.student, STUDENT, BIGGEST_DISC * evaluation.student.bytes / biggest)
    _log_axis(axes, milliseconds)
    _percent_axis(axes)
    _target(axes, evaluation.teacher, gate)
    axes.set_xlabel("10th-percentile latency, log scale; area of a disc: bytes on disk")
    axes.set_title("Exported files: latency against gate quality")


def _model(axes: Axes, name: str, model: Model, colour: str, disc: float) -> None:
    quality, speed = model.quality.gate, model.latency_ms
    axes.plot(speed.interval, [quality.value] * 2, color=colour, linewidth=1.4)
    axes.plot([speed.p10] * 2, quality.interval, color=colour, linewidth=1.4)
    axes.scatter(speed.p10, quality.value, s=max(disc, 14), color=colour, alpha=0.35)
    axes.plot(speed.p10, quality.value, "o", color=colour, markersize=3.5)
    text = f"{name}\n{milliseconds(speed.p10)}, {size(model.bytes)}"
    note(axes, text, (speed.p10, quality.value), (16, 8), colour=colour)


def _target(axes: Axes, teacher: Model, gate: Gate) -> None:
    """Shade the area in which a student is both fast enough and good enough."""
    slowest = teacher.latency_ms.p10 / gate.latency
    lowest = teacher.quality.gate.value * gate.quality
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.axvline(slowest, color=GOOD, linestyle=DASHES, linewidth=1.1)
    axes.axhline(lowest, color=GOOD, linestyle=DASHES, linewidth=1.1)
    right, bottom = min(right, slowest / 2), min(bottom, lowest - 0.1 * (top - lowest))
    axes.fill_between([slowest, right], lowest, top, color=GOOD, alpha=0.08, linewidth=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    note(axes, "fast enough", (slowest, 1.0), (4, -9), colour=GOOD, coordinates=("data", "axes fraction"))
    note(axes, "good enough", (0.0, lowest), (4, -10), colour=GOOD, coordinates=("axes fraction", "data"))


def _log_axis(axes: Axes, words: Callable[[float], str]) -> None:
    """Make x logarithmic, smaller to the right, with room for the names beside the points."""
    low, high = axes.dataLim.intervalx
    axes.set_xscale("log")
    axes.set_xlim(high * 2, low / 4)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < WIDE * low else (1, 3)))
    axes.xaxis.set_major_formatter(ticks_in(words))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _percent_axis(axes: Axes) -> None:
    axes.margins(y=0.2)
    axes.yaxis.set_major_formatter(ticks_in(percent_limit))


def _changes(classes: Classes) -> list[tuple[float, str, str]]:
    """Return (change of recall, label with count, text of both recalls) per class, worst first."""
    rows = []
    for label, teacher, student, count in zip(
        classes.labels, classes.teacher, classes.student, classes.count, strict=True
    ):
        if teacher is not None and student is not None and math.isfinite(student - teacher):
            name = label if len(label) <= LONGEST_LABEL else f"{label[:LONGEST_LABEL]}\N{HORIZONTAL ELLIPSIS}"
            recalls = f"{100 * teacher:.1f} \N{RIGHTWARDS ARROW} {100 * student:.1f} %"
            rows.append((student - teacher, f"{name} (n = {count:,})", recalls))
    return sorted(rows)
