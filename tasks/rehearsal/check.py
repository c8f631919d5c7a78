"""Find in about a minute what would stop a night at 3 a.m., and say what to do about it.

The checks go from cheap to dear: the recipe, its packages, the data, the splits, the data contract, a rehearsal of
every stage on an excerpt of the data, the limits of the gate, and the time and the memory of the night.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.data.store.excerpt import write_excerpt
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.providers import check_foreign
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.rehearsal.estimate import estimate, forget_peak, peak_bytes
from stillhouse.tasks.rehearsal.expect import (
    expect_apart,
    expect_contract,
    expect_learned,
    expect_reachable,
    expect_room,
    expect_rows,
)
from stillhouse.tasks.rehearsal.rehearse import Rehearsed, rehearse
from stillhouse.tasks.rehearsal.shorten import shorten
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import pull_dataset

ROWS = 256
"""Rows of a split that the rehearsal uses at most."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    note: str = "in order"
    fault: str | None = None
    """What is wrong and what to do, or `None`."""


class _Fault(Exception):  # noqa: N818 - a finding
    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(sentence)
        self.check = check


def check_recipe(path: Path, progress: Progress) -> Iterator[Finding]:
    """Check a recipe, its data and this machine. Yields one finding after another; the first fault is the last finding.

    Args:
        path: the recipe's file.
        progress: shows one line.
    """
    with tempfile.TemporaryDirectory(prefix="stillhouse-check-") as scratch:
        try:
            yield from _check(path, Path(scratch), progress)
        except _Fault as fault:
            yield Finding(fault.check, fault=str(fault))


@contextmanager
def _checking(name: str) -> Iterator[None]:
    try:
        yield
    except StillhouseError as error:
        raise _Fault(name, str(error)) from error


def _check(path: Path, scratch: Path, progress: Progress) -> Iterator[Finding]:
    with _checking("recipe"):
        recipe = load_recipe(path)
    yield Finding("recipe", f"{len(recipe.steps)} steps")
    with _checking("packages"):
        check_foreign(recipe)
    yield Finding("packages")
    with _checking("data"):
        progress(f"fetching {recipe.data.dataset}")
        data = pull_dataset(load_settings(), recipe.data)
        counts = expect_rows(data)
    yield Finding("data", counts)
    with _checking("splits"):
        expect_apart(data)
    yield Finding("splits", "no example is in two of them")
    with _checking("data contract"):
        progress("checking every row against the data contract")
        note = expect_contract(data, scratch)
    yield Finding("data contract", note)
    yield from _check_stages(recipe, data, scratch / "state", progress)


def _check_stages(recipe: Recipe, data: Path, state: Path, progress: Progress) -> Iterator[Finding]:
    excerpt, rehearsed = _excerpt(data, state), list[Rehearsed]()
    forget_peak()
    for found in rehearse(shorten(recipe), excerpt.name, state, progress):
        with _checking(found.stage):
            note = expect_learned(found)
        yield Finding(found.stage, note)
        rehearsed.append(found)
    with _checking("gate"):
        note = expect_reachable(recipe.gate, state / "artifacts" / "evaluate")
    yield Finding("gate", note)
    with _checking("machine"):
        needed = estimate(recipe, rehearsed, read_description(data), read_description(excerpt), peak_bytes())
        note = expect_room(needed)
    yield Finding("machine", note)


def _excerpt(data: Path, state: Path) -> Path:
    """Write the excerpt where the stages of the rehearsal look for it."""
    folder = state / "data" / "excerpt"
    folder.mkdir(parents=True)
    return folder.rename(folder.with_name(write_excerpt(data, folder, ROWS)))
