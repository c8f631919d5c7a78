"""Climb the ladder: run one rung after the other, and stop at the goals or at the minutes."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.ladder.families.rungs import Rung
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.pace import Pace, measure_pace
from stillhouse.tasks.ladder.recipes import Model, write_recipe
from stillhouse.tasks.ladder.verdict import Point, point_of
from stillhouse.tasks.local_run.run_here import outputs_here, run_here, stages_here
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.rehearsal.estimate import epochs_of

SHARE = 0.5
"""Share of the remaining minutes that a trained rung may take, if another one follows."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Climbed:
    """One rung that was run."""

    point: Point
    recipe: Path
    report: Path
    bundle: Path
    """Folder of the student's bundle."""
    checkpoints: Path
    """Folder of the last step: a checkpoint for each component, unless the student is known as a file only."""


@dataclass(frozen=True)
class Skipped:
    """One rung that was not run."""

    rung: Rung
    reason: str


@dataclass(frozen=True)
class Ladder:
    """What a climb works with."""

    model: Model
    rungs: Sequence[Rung]
    goals: Goals
    data: Path
    """Folder of the dataset."""
    work: Path
    """Folder for the recipes of the rungs."""
    about: Sequence[str]
    """Lines for the head of each recipe."""
    resumed: bool = False
    """Whether an interrupted climb goes on. Its rungs keep the epochs that it chose."""


def climb(ladder: Ladder, progress: Progress) -> Iterator[Climbed | Skipped]:
    """Run the rungs in their order. The first rung that meets the goals is the last one that runs.

    Yields:
        Each rung that was run, with its measurements, or the reason why it was not run.
    """
    began, kept = time.monotonic(), dict[str, float]()
    for number, rung in enumerate(ladder.rungs):
        left = ladder.goals.minutes - (time.monotonic() - began) / 60
        try:
            found = _useless(ladder, rung, kept) or _climb_one(ladder, number, rung, left, progress)
        except StillhouseError as error:
            found = Skipped(rung, str(error))
        yield found
        if isinstance(found, Climbed):
            kept[rung.name] = found.point.quality
        if isinstance(found, Climbed) and found.point.verdict == "PASS":
            return


def _useless(ladder: Ladder, rung: Rung, kept: Mapping[str, float]) -> Skipped | None:
    """Skip a rung that regains quality where none is missing.

    Args:
        ladder: the ladder.
        rung: the rung to come.
        kept: quality of each rung that was run, as a share of the teacher's.
    """
    if rung.regains is None or kept.get(rung.regains, 0.0) < ladder.goals.keep:
        return None
    return Skipped(rung, f"{rung.regains} keeps enough without it, and bytes and time would stay as they are")


def _climb_one(ladder: Ladder, number: int, rung: Rung, left: float, progress: Progress) -> Climbed | Skipped:
    """Run a rung if the minutes that are left allow it."""
    if left <= 0:
        return Skipped(rung, "the minutes are over")
    epochs = _chosen_before(ladder, number, rung) or (0 if rung.trained else 1)
    if not epochs:
        pace = _pace(ladder, rung, progress)
        epochs = _epochs(pace, left, last=number + 1 == len(ladder.rungs))
        if not epochs:
            needed = f"one epoch of each training takes about {pace.minutes(1):.0f} minutes"
            return Skipped(rung, f"{needed} and {left:.0f} are left")
    return _run(ladder, number, rung, epochs, progress)


def plan(ladder: Ladder, progress: Progress) -> Iterator[tuple[Rung, int, Pace | None]]:
    """Yield each rung with the epochs that the minutes allow and its cost, and write its recipe. Nothing is run."""
    left = ladder.goals.minutes
    for number, rung in enumerate(ladder.rungs):
        pace = _pace(ladder, rung, progress) if rung.trained else None
        epochs = _epochs(pace, left, last=number + 1 == len(ladder.rungs)) if pace else 1
        left -= pace.minutes(epochs) if pace and epochs else 0.0
        _write(ladder, number, rung, max(1, epochs))
        yield rung, epochs, pace


def _chosen_before(ladder: Ladder, number: int, rung: Rung) -> int:
    """Return the epochs that an interrupted climb chose for a rung, or 0. Its training then goes on."""
    path = _folder(ladder, number, rung) / f"{ladder.model.name}.yaml"
    if not (ladder.resumed and path.exists()):
        return 0
    return max(epochs_of(load_recipe(path)).values(), default=1)


def _folder(ladder: Ladder, number: int, rung: Rung) -> Path:
    return ladder.work / f"{number + 1}_{rung.name}"


def _pace(ladder: Ladder, rung: Rung, progress: Progress) -> Pace:
    progress(f"rehearsing {rung.words}")
    recipe = load_recipe(write_recipe(ladder.work / "pace", ladder.model, rung, 1, ladder.goals, ()))
    return measure_pace(recipe, ladder.data, lambda _: None)


def _epochs(pace: Pace, left: float, *, last: bool) -> int:
    return pace.epochs_within(left if last else SHARE * left) or min(1, pace.epochs_within(left))


def _write(ladder: Ladder, number: int, rung: Rung, epochs: int) -> Path:
    return write_recipe(_folder(ladder, number, rung), ladder.model, rung, epochs, ladder.goals, ladder.about)


def _run(ladder: Ladder, number: int, rung: Rung, epochs: int, progress: Progress) -> Climbed:
    began, recipe, key = time.monotonic(), _write(ladder, number, rung, epochs), f"{ladder.model.name}_{rung.name}"
    trained = f", epochs of the longest training: {epochs}" if rung.trained else ""
    progress(f"== rung {number + 1} of {len(ladder.rungs)}: {rung.words}{trained}")
    found = run_here(recipe, key, progress=progress)
    last = next(stage.inputs["student"] for stage in stages_here(load_recipe(recipe)) if stage.name == "export")
    folders = outputs_here(recipe, key, ("export", "evaluate", "gate", last))
    evaluation, gate = (
        json.loads((folders[stage] / f"{file}.json").read_text(encoding="utf-8"))
        for stage, file in (("evaluate", "evaluation"), ("gate", "gate"))
    )
    minutes = (time.monotonic() - began) / 60
    point = point_of(rung.name, rung.words, evaluation, gate["verdict"], minutes)
    return Climbed(point, recipe, Path(str(found["report"]["report"])), folders["export"] / "student", folders[last])
