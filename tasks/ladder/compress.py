"""Compress a user's own model: import the data, climb the ladder, and write what was found into one folder."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast, get_args

from stillhouse.models.aside import write_aside
from stillhouse.models.inspection.source import Source, find_source
from stillhouse.models.inspection.task import task_of
from stillhouse.models.onnx.recogniser import characters_of
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.tasks.artifacts.artifact import file_digest, json_digest, write_json
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import LINES, Imported, Task, Wanted
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.convert_once import Conversion, convert_once
from stillhouse.tasks.foreign.keras_import import KERAS
from stillhouse.tasks.foreign.timm_import import from_timm
from stillhouse.tasks.ladder.climb import Climbed, Ladder, Skipped, climb, plan
from stillhouse.tasks.ladder.families.family import Family, expect_ladder, expect_target, family_of
from stillhouse.tasks.ladder.families.recogniser import shape_of_lines, with_characters
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.page import render
from stillhouse.tasks.ladder.recipes import Model
from stillhouse.tasks.ladder.under_way import end, is_under_way
from stillhouse.tasks.ladder.verdict import choose, say_verdict
from stillhouse.tasks.reporting.quantities import mebibytes
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.targets.send_out import send_out
from stillhouse.tasks.targets.source import Source as Student
from stillhouse.tasks.targets.targets import ONNX_RUNTIME, TARGETS, takes

Progress = Callable[[str], None]
CONVERTED: dict[str, Callable[[Wanted], Conversion]] = {
    "keras": lambda _: KERAS,
    "tensorflow": lambda _: KERAS,
    "timm": lambda data: from_timm(data.shape),
}
"""Format that is converted to ONNX -> how, for the wanted data. The converters refuse all but image classifiers."""
IMAGES = "image-classification"


@dataclass(frozen=True)
class Order:
    """What a user asks for."""

    name: str
    """Name of the recipe, of the dataset and of the result."""
    model: Path
    task: str | None
    data: Wanted
    goals: Goals
    into: Path
    """Folder that gets a folder of this name."""
    target: str = ONNX_RUNTIME
    """Runtime that the chosen student goes out to."""
    characters: Path | None = None
    """Text file with the characters of a recogniser of lines. None: the model names them."""


def compress(order: Order, progress: Progress) -> str:
    """Climb the ladder and write the result. Returns the verdict in one line.

    Raises:
        StillhouseError: the model, the data or the goals cannot be used, or no rung could be run.
    """
    ladder, family = _prepare(order, progress)
    climbed, skipped = list[Climbed](), list[Skipped]()
    for found in climb(ladder, progress):
        if isinstance(found, Skipped):
            skipped.append(found)
            progress(f"not run: {found.rung.words}: {found.reason}")
        else:
            climbed.append(found)
            progress(say_verdict(found.point, order.goals, family.basis))
    if not climbed:
        msg = f"no rung could be run: {skipped[-1].reason if skipped else 'there is none'}"
        raise StillhouseError(msg)
    return _write(order, ladder, family, climbed, skipped, progress)


def estimate(order: Order, progress: Progress) -> list[str]:
    """Write the recipes of all rungs and return what each one will cost. Nothing is compressed."""
    ladder, _ = _prepare(order, progress)
    lines = []
    for rung, epochs, pace in plan(ladder, progress):
        if pace is None:
            lines.append(f"{rung.words}: a few minutes, without training")
        elif epochs:
            what = f"epochs of the longest training: {epochs}, about {pace.minutes(epochs):.0f} minutes"
            lines.append(f"{rung.words}: {what}, {mebibytes(pace.bytes)} of memory")
        else:
            lines.append(f"{rung.words}: not within the minutes; one epoch takes about {pace.minutes(1):.0f}")
    end(ladder.work)
    return [*lines, f"the recipes are in {ladder.work}"]


def _data_task(task: str) -> Task | None:
    """Return the task as the import of data knows it; None lets the source decide."""
    return cast("Task", task) if task in get_args(Task) else None


def _prepare(order: Order, progress: Progress) -> tuple[Ladder, Family]:
    settings, source = load_settings(), find_source(order.model)
    task = _task(order, source)
    expect_ladder(task)
    expect_target(order.target, task)
    source, converted = _as_onnx(source, task, order.data, settings, progress)
    wanted = replace(order.data, task=_data_task(task))
    if task == LINES:
        source, wanted = _for_lines(order, source, wanted, settings)
    imported = import_local(settings, wanted, progress)
    _tell_rows(imported, progress)
    data = settings.data_cache / imported.digest
    family = family_of(source, task, data)
    family = replace(family, assumed=(*converted, *family.assumed))
    for line in family.assumed:
        progress(f"assumed: {line}")
    model = Model(order.name, family.workload, family.teacher, {"dataset": order.name, "sha256": imported.digest})
    work = settings.state / "ladders" / order.name
    rungs = [rung for rung in family.rungs if takes(order.target, family.workload, rung.form)]
    resumed = is_under_way(work, json_digest([asdict(model), asdict(order.goals), order.target]))
    if resumed:
        progress("going on with the climb that was interrupted")
    return Ladder(model, rungs, order.goals, data, work, _about(order, imported, family), resumed), family


def _tell_rows(imported: Imported, progress: Progress) -> None:
    progress(", ".join(f"{split} {count:,}" for split, count in imported.counts.items()))
    if imported.rejected:
        progress(f"{imported.rejected:,} rows left out; {imported.report} says why")


def _task(order: Order, source: Source) -> str:
    task = order.task or task_of(source) or (IMAGES if source.format in CONVERTED else None)
    if task is None:
        msg = f"{source.path} does not say what it is for; tell it with --task, such as --task image-classification"
        raise StillhouseError(msg)
    return task


def _as_onnx(
    source: Source, task: str, data: Wanted, settings: Settings, progress: Progress
) -> tuple[Source, tuple[str, ...]]:
    """Convert a model of another library. Returns the model to compress, and what is taken to be so."""
    if source.format not in CONVERTED or task != IMAGES:
        return source, ()
    converted = convert_once(source.path, CONVERTED[source.format](data), settings, progress)
    return find_source(converted), (f"{source.path.name} classifies images, and {converted} answers as it does",)


def _for_lines(order: Order, source: Source, wanted: Wanted, settings: Settings) -> tuple[Source, Wanted]:
    """Return a recogniser that names its characters, and the data with lines of its shape.

    Raises:
        StillhouseError: it is no ONNX file, or its list of characters cannot be used.
    """
    if source.format != "onnx":
        msg = f"{source.path} is a {source.format} model, and recognisers of lines are read from ONNX; export it"
        raise StillhouseError(msg)
    if order.characters:
        folder = settings.state / "recognisers" / file_digest(source.path)[:16] / file_digest(order.characters)[:16]
        source = find_source(with_characters(source, order.characters, folder))
    letters = "".join(characters_of(source.path))
    return source, replace(wanted, shape=shape_of_lines(source.path), letters=letters)


def _about(order: Order, imported: Imported, family: Family) -> Sequence[str]:
    return (
        f"Compresses {order.model}. Made by `stillhouse compress`; edit it and run it again.",
        f"Data: {imported.read_as}.",
        *(f"Assumed: {line}." for line in family.assumed),
    )


def _write(  # noqa: PLR0913, PLR0917 - all that was found
    order: Order,
    ladder: Ladder,
    family: Family,
    climbed: list[Climbed],
    skipped: list[Skipped],
    progress: Progress,
) -> str:
    """Write the folder of the result. The page is written last."""
    points = [each.point for each in climbed]
    best = choose(points, order.goals)
    chosen = climbed[points.index(best)]
    folder = order.into / order.name
    for part in ("bundle", "recipes", "rungs", *TARGETS):
        shutil.rmtree(folder / part, ignore_errors=True)
    shutil.copytree(chosen.bundle, folder / "bundle")
    student = Student(open_bundle(chosen.bundle), chosen.checkpoints)
    there = send_out(order.target, student, ladder.data, folder, progress)
    verdict = say_verdict(best, order.goals, family.basis) + (f"; {there.sentence}" if there else "")
    (folder / "recipes").mkdir()
    shutil.copyfile(chosen.recipe, folder / "recipes" / chosen.recipe.name)
    (folder / "rungs").mkdir()
    for each in climbed:
        shutil.copyfile(each.report, folder / "rungs" / f"{each.point.rung}.html")
    found = {"verdict": verdict, "chosen": best.rung, "points": [asdict(point) for point in points]}
    write_json(folder / "ladder.json", found | ({"target": asdict(there)} if there else {}))
    with write_aside(folder / "report.html") as aside:
        page = render(order.name, ladder, points, best, verdict, [(s.rung.words, s.reason) for s in skipped], there)
        aside.write_text(page, encoding="utf-8")
    end(ladder.work)
    return verdict
