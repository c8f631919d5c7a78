"""Find out how long an epoch of a rung takes, on an excerpt of the data, and how many epochs fit into the minutes."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.data.store.excerpt import write_excerpt
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.rehearsal.estimate import available_bytes, epochs_of, estimate, forget_peak, peak_bytes
from stillhouse.tasks.rehearsal.rehearse import Rehearsed, rehearse
from stillhouse.tasks.rehearsal.shorten import shorten
from stillhouse.tasks.reporting.quantities import mebibytes

ROWS = 1024
"""Rows of a split in the excerpt. With few rows, the scoring and the checkpoint of each epoch would weigh too much."""
MOST_EPOCHS = 60
ASKING = 0.4
"""The teacher answers all training examples once: about this share of an epoch of its own training."""


@dataclass(frozen=True)
class Pace:
    """What a rung costs on this machine."""

    minutes_per_epoch: float
    """If every training of the rung has one epoch."""
    fixed_minutes: float
    """Whatever the epochs: asking the teacher, export, evaluation."""
    bytes: float
    """Memory at its peak."""

    def minutes(self, epochs: int) -> float:
        """Return the minutes of the rung."""
        return self.fixed_minutes + epochs * self.minutes_per_epoch

    def epochs_within(self, minutes: float) -> int:
        """Return the most epochs that fit, or 0 if not even one does."""
        if self.minutes_per_epoch <= 0:
            return 1
        return max(0, min(MOST_EPOCHS, int((minutes - self.fixed_minutes) / self.minutes_per_epoch)))


def measure_pace(recipe: Recipe, data: Path, progress: Callable[[str], None]) -> Pace:
    """Rehearse the steps of a recipe whose trainings have one epoch.

    Args:
        recipe: the rung's recipe.
        data: folder of the whole dataset.
        progress: shows one line.

    Raises:
        StillhouseError: a step cannot be done, or the memory of this machine is too small.
    """
    with tempfile.TemporaryDirectory(prefix="stillhouse-pace-") as scratch:
        excerpt = _excerpt(data, Path(scratch))
        forget_peak()
        found = list(_rehearse_steps(recipe, excerpt, Path(scratch), progress))
        described = read_description(data), read_description(excerpt)
        per_epoch = estimate(recipe, _only_epochs(recipe, found), *described, peak_bytes())
    _expect_room(per_epoch.bytes)
    fixed = sum(stage.seconds - _training(stage) for stage in found) / 60
    return Pace(per_epoch.minutes, fixed + ASKING * per_epoch.minutes, per_epoch.bytes)


def _excerpt(data: Path, scratch: Path) -> Path:
    folder = scratch / "data" / "excerpt"
    folder.mkdir(parents=True)
    return folder.rename(folder.with_name(write_excerpt(data, folder, ROWS)))


def _rehearse_steps(recipe: Recipe, excerpt: Path, state: Path, progress: Callable[[str], None]) -> list[Rehearsed]:
    """Rehearse the stages up to the last one that trains."""
    found, last = list[Rehearsed](), [*epochs_of(recipe)][-1]
    for stage in rehearse(shorten(recipe), excerpt.name, state, progress, timed=last):
        if stage.fault:
            raise StillhouseError(stage.fault)
        found.append(stage)
    return found


def _only_epochs(recipe: Recipe, found: list[Rehearsed]) -> list[Rehearsed]:
    """Keep the training time of each stage alone."""
    trained = epochs_of(recipe)
    return [
        Rehearsed(each.stage, _training(each), epoch_ends=each.epoch_ends) for each in found if each.stage in trained
    ]


def _training(stage: Rehearsed) -> float:
    """Return the seconds of a stage's epochs. The first epoch is taken to be as long as the others."""
    count = len(stage.epoch_ends)
    return (stage.epoch_ends[-1] - stage.epoch_ends[0]) * count / (count - 1) if count > 1 else 0.0


def _expect_room(needed: float) -> None:
    if needed > (free := available_bytes()):
        msg = (
            f"this rung needs about {mebibytes(needed)} of memory and {mebibytes(free)} are free; give less data, or "
            "take a larger machine"
        )
        raise StillhouseError(msg)
