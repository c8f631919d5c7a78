"""Run the stages of a shortened recipe on an excerpt of its data, without MLflow and without a registry."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.tasks.artifacts.artifact import seal, write_json
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.graph import Stage, stages_of
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.pipeline.stages import function_of
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.stages.pull import POINTER

KINDS = ("teacher", "compress", "export", "evaluate")
"""The stages that are rehearsed."""
ENOUGH = 2
"""Epochs that tell how long an epoch takes: the first one also loads."""
Progress = Callable[[str], None]


@dataclass
class Rehearsed:
    """One stage that was rehearsed."""

    stage: str
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Mean loss of each epoch; empty if the stage trains nothing."""
    epoch_ends: list[float] = field(default_factory=list)
    """Seconds from the start of the stage to the end of each epoch."""
    fault: str | None = None
    """Why the stage cannot be done, with the remedy."""


class _Enough(Exception):  # noqa: N818 - no error
    """Ends the training of a stage that is only timed."""


def rehearse(
    recipe: Recipe, digest: str, folder: Path, progress: Progress, timed: str | None = None
) -> Iterator[Rehearsed]:
    """Run the stages in their order. Yields one result after another; the first fault is the last result.

    Args:
        recipe: a shortened recipe.
        digest: digest of the excerpt, which lies in `folder`/data/`digest`.
        folder: the state folder of the rehearsal.
        progress: shows one line.
        timed: a stage of which only the epochs are timed. It ends after `ENOUGH` epochs, and no stage follows.
    """
    outputs = {"pull": _pointer(recipe, digest, folder), "validate": _make_sealed(folder / "validate")}
    with _state(folder):
        for stage in stages_of(recipe):
            if stage.kind in KINDS:
                progress(f"rehearsing {stage.name}")
                found = _run(stage, outputs, folder, is_timed=stage.name == timed)
                yield found
                if found.fault or stage.name == timed:
                    return


def _run(stage: Stage, outputs: dict[str, Path], folder: Path, *, is_timed: bool) -> Rehearsed:
    found, began = Rehearsed(stage.name), time.monotonic()

    def record(_epoch: int, metrics: Mapping[str, float]) -> None:
        found.losses.append(metrics["train_loss"])
        found.epoch_ends.append(time.monotonic() - began)
        if is_timed and len(found.epoch_ends) == ENOUGH:
            raise _Enough

    try:
        outputs[stage.name] = _fill(stage, outputs, folder, record)
    except _Enough:
        pass
    except (ModelError, StillhouseError) as error:
        found.fault = str(error)
    except Exception as error:  # noqa: BLE001 - a foreign network or workload may raise anything
        found.fault = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    found.seconds = time.monotonic() - began
    return found


def _fill(
    stage: Stage, outputs: Mapping[str, Path], folder: Path, record: Callable[[int, Mapping[str, float]], None]
) -> Path:
    out, scratch = folder / "artifacts" / stage.name, folder / "scratch" / stage.name
    for path in (out, scratch):
        path.mkdir(parents=True)
    inputs = {slot: outputs[name] for slot, name in stage.inputs.items()}
    job = Job(stage.settings, inputs, out, scratch, folder / "shared", progress=_quiet, record=record)
    seal(out, function_of(stage.kind)(job), stage=stage.name)
    return out


def _quiet(_line: str) -> None:
    """Show nothing: the stage's own lines are for a night."""


def _pointer(recipe: Recipe, digest: str, folder: Path) -> Path:
    out = folder / "artifacts" / "pull"
    out.mkdir(parents=True)
    pointer = {"dataset": recipe.data.dataset, "revision": None, "dvc_md5": "", "digest": digest}
    write_json(out / POINTER, pointer | {"data_version": "rehearsal", "counts": {}})
    seal(out, {}, stage="pull")
    return out


def _make_sealed(out: Path) -> Path:
    out.mkdir(parents=True)
    seal(out, {}, stage=out.name)
    return out


@contextmanager
def _state(folder: Path) -> Iterator[None]:
    """Let the stages find the excerpt: they look for data in the state folder."""
    before = os.environ.get("STILLHOUSE_STATE")
    os.environ["STILLHOUSE_STATE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["STILLHOUSE_STATE"]
        else:
            os.environ["STILLHOUSE_STATE"] = before
