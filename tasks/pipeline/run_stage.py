"""Run one stage of one nightly run, or reuse its result. Only this module computes keys, reuses and resumes work."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from mlflow.exceptions import MlflowException

from stillhouse.models.errors import ModelError
from stillhouse.models.training.freed_memory import keep_freed_memory
from stillhouse.tasks.access.login import explain_refusal
from stillhouse.tasks.artifacts.artifact import Artifact, seal, verify
from stillhouse.tasks.artifacts.folders import install
from stillhouse.tasks.artifacts.locks import quiet, waiting
from stillhouse.tasks.artifacts.machine import machine
from stillhouse.tasks.artifacts.outputs import locate_output, make_empty, output_among
from stillhouse.tasks.errors import ArtifactError, RecipeError, ServiceError, StillhouseError
from stillhouse.tasks.pipeline.frozen import FIRST, Asked
from stillhouse.tasks.pipeline.graph import Stage, stages_of
from stillhouse.tasks.pipeline.job import Job, Meeting
from stillhouse.tasks.pipeline.lineage import CODE, inputs_of, runs_of
from stillhouse.tasks.pipeline.measured import DONE_ON, WORK_KEY, holds_here_only, why_anew
from stillhouse.tasks.pipeline.outside import as_tags, outside_of
from stillhouse.tasks.pipeline.providers import check_foreign
from stillhouse.tasks.pipeline.run_context import RunContext, join_run
from stillhouse.tasks.pipeline.stage_key import code_of, stage_key
from stillhouse.tasks.pipeline.stages import KINDS, function_of
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.retention.full_disk import FREE_IT, retrying_full_disks
from stillhouse.tasks.retention.in_use import looking
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.stages.pull import POINTER, read_pointer
from stillhouse.tasks.tracking.child import Child
from stillhouse.tasks.tracking.deleted import is_active
from stillhouse.tasks.tracking.held_out import note_stage
from stillhouse.tasks.tracking.runs import find_finished
from stillhouse.tasks.tracking.tags import PREFIX, RENDEZVOUS

Result = dict[str, float | str]


def run_stage(  # noqa: PLR0913 - which stage of which run, and what may differ from the recipe
    recipe_path: Path,
    stage_name: str,
    run_key: str,
    *,
    revision: str | None = None,
    seed: int | None = None,
    force: bool = False,
) -> Result:
    """Run one stage, or reuse an earlier result. Returns a few metrics.

    Args:
        recipe_path: the recipe's file.
        stage_name: name of one of `stages_of(recipe)`.
        run_key: names the nightly run. Stages with the same run key belong together.
        revision: data revision that replaces the recipe's.
        seed: seed that replaces the recipe's.
        force: run the stage even if nothing has changed.

    Raises:
        StillhouseError: one sentence that says how to repair the problem.
        ServiceError: the same, of a problem that may be gone at the next try, such as a server that is down or a full
            disk.
    """
    settings, asked = load_settings(), Asked(recipe_path, revision, seed)
    with retrying_full_disks(stage_name), _in_one_sentence(stage_name, settings):
        context = join_run(settings, asked, run_key, stage_name)
        lines = list(context.frozen.lines(asked, run_key))
        for line in lines:
            print(line, flush=True)  # noqa: T201 - becomes a line of the Airflow log
        stage = _stage(context.recipe, stage_name, lines)
        if stage_name == FIRST:
            check_foreign(context.recipe)
        return _track(context, stage, force=force) if stage.reusable else function_of(stage.kind)(context, stage)


@contextmanager
def _in_one_sentence(stage_name: str, settings: Settings) -> Iterator[None]:
    """Turn an error of a package, of MLflow or of the disk into one sentence with the remedy."""
    try:
        yield
    except ModelError as error:  # raised by an installed package that the recipe uses
        msg = f"stage {stage_name}: {error}"
        raise StillhouseError(msg) from error
    except MlflowException as error:
        where = f"MLflow at {settings.tracking_uri}"
        other = f"{where} refused ({_one_line(error)}); look at its log and run the stage again"
        raise ServiceError(explain_refusal(error) or other) from error
    except OSError as error:
        what = f"{error.filename or settings.state} ({error.strerror or error})"
        msg = f"stage {stage_name} could not read or write {what}; {FREE_IT} or mend its permissions, then run again"
        raise StillhouseError(msg) from error


def _stage(recipe: Recipe, name: str, lines: Sequence[str]) -> Stage:
    stages = {stage.name: stage for stage in stages_of(recipe)}
    if name not in stages:
        msg = "; ".join([f"recipe {recipe.name} has no stage {name!r}; use one of {', '.join(stages)}", *lines])
        raise RecipeError(msg)
    return stages[name]


def _track(context: RunContext, stage: Stage, *, force: bool) -> Result:
    try:
        runs = runs_of(context.recipe, context.nightly.children())
        inputs = {slot: output_among(context, runs, name) for slot, name in stage.inputs.items()}
        stage, tags = _with_facts(context, stage, inputs_of(stage, runs))
        key = stage_key(stage, inputs_of(stage, runs), tags[CODE])
    except Exception:
        with context.nightly.child(stage.name, stage.kind):  # this run's page shows why the stage has no key
            raise
    with context.nightly.child(stage.name, stage.kind, key) as child:
        for name, value in tags.items():
            child.tag(name, value)
        with looking(context.settings.state):  # after this, `stillhouse gc` sees the key and what is reused
            found = None if force else _reusable(context, key, child)
        if found is None:
            _say_why(context, stage, child, tags[WORK_KEY])
        artifact = found or _work(context, stage, inputs, key, child, force=force)
        child.conclude(artifact.metrics)
        if (artifact.path / POINTER).exists():
            child.tag("content", read_pointer(artifact.path)["digest"])
        child.tag("digest", artifact.digest)
        return {"reused": float(found is not None), **artifact.metrics}


def _with_facts(context: RunContext, stage: Stage, inputs: Mapping[str, str]) -> tuple[Stage, dict[str, str]]:
    """Add to a stage the outside facts that its key includes.

    Also return the tags from which others compute the key.
    """
    code = code_of(stage.kind, stage.workload, stage.providers)
    stage = replace(stage, outside=outside_of(context, stage))
    work_key = stage_key(stage, inputs, code)
    if holds_here_only(context.nightly.client, stage, work_key):
        stage = replace(stage, outside={**stage.outside, "machine": machine()})
    return stage, {CODE: code, WORK_KEY: work_key, **as_tags(stage.outside)}


def _say_why(context: RunContext, stage: Stage, child: Child, work_key: str) -> None:
    """Record the machine that does the work, and the reason if another machine has already done it."""
    child.tag(DONE_ON, machine())
    why = (
        why_anew(context.nightly.client, context.nightly.experiment_id, work_key) if "machine" in stage.outside else ""
    )
    if why:
        child.tag("measured_anew", why)
        child.progress(why)


def _reusable(context: RunContext, key: str, child: Child) -> Artifact | None:
    for run in find_finished(context.nightly.client, key):
        digest = run.data.tags.get(f"{PREFIX}digest")
        if digest is None:
            continue
        origin = run.data.tags.get(f"{PREFIX}reused_from", run.info.run_id)
        try:
            artifact = locate_output(context, key, origin, digest)
        except ArtifactError as error:
            child.progress(f"cannot reuse run {origin}: {error}")
            continue
        if origin != child.run_id and not _claim(child, origin):
            continue
        if f"{PREFIX}{DONE_ON}" in run.data.tags:
            child.tag(DONE_ON, run.data.tags[f"{PREFIX}{DONE_ON}"])
        child.progress("reused: nothing it depends on has changed")
        return artifact
    return None


def _claim(child: Child, origin: str) -> bool:
    """Note that this run reuses another one. Returns False if a collection has deleted that run meanwhile.

    A collection on another host marks runs first and reads the notes after that. Here the note comes first and the
    look at the mark after that. So the collection sees the note, or this stage sees the mark.
    """
    child.tag("reused_from", origin)
    if is_active(child.client, origin):
        return True
    child.client.delete_tag(child.run_id, f"{PREFIX}reused_from")
    child.progress(f"cannot reuse run {origin}: it was deleted meanwhile")
    return False


def _work(  # noqa: PLR0913 - one call, every argument named
    context: RunContext, stage: Stage, inputs: Mapping[str, Artifact], key: str, child: Child, *, force: bool
) -> Artifact:
    """Do the work in a partial folder, seal it, move it into place, upload it.

    A second process on the same work waits.
    """
    folder = context.settings.artifacts / key
    with waiting(context.settings.artifacts / f".{key}.lock"):
        whole = None if force else _whole(folder)
        artifact = whole or _fill(context, stage, inputs, folder, child)
        child.keep(artifact.path)
        child.say_where(artifact.path, context.settings.tracking_uri)
    return artifact


def _fill(context: RunContext, stage: Stage, inputs: Mapping[str, Artifact], folder: Path, child: Child) -> Artifact:
    _prepare_torch()
    work = function_of(stage.kind)  # imports torch, which a reused stage does not need
    job = _job(context, stage, inputs, folder, child)
    _note_look(context, stage, job)
    try:
        with _in_quiet(context, stage, child):
            metrics = work(job)
    except ModelError as error:
        msg = f"stage {stage.name}: {error}"
        raise StillhouseError(msg) from error
    seal(job.out, metrics, stage=stage.name, kind=stage.kind, run_key=context.run_key)
    artifact = install(job.out, folder)
    shutil.rmtree(job.scratch)
    return artifact


def _in_quiet(context: RunContext, stage: Stage, child: Child) -> AbstractContextManager[None]:
    """Return a context in which a stage measures times alone on this host, and trains beside other trainings only."""
    kind = KINDS[stage.kind]
    if not kind.heavy:
        return nullcontext()
    said = "training and measuring" if kind.timed else "measuring"
    told = f"waiting until other {said} on this host ends, so that times are measured alone"
    return quiet(context.settings.state / "host", alone=kind.timed, wait=lambda: child.progress(told))


def _prepare_torch() -> None:
    """Set what torch reads once, when it is loaded, and keep the memory that it frees."""
    # Without this, torch's threads spin while they wait for each other and Airflow needs their core.
    # Training was then slower by 25 to 75 % beside one busy process.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    keep_freed_memory()


def _job(context: RunContext, stage: Stage, inputs: Mapping[str, Artifact], folder: Path, child: Child) -> Job:
    state = context.settings.state
    scratch = state / "scratch" / folder.name
    scratch.mkdir(parents=True, exist_ok=True)
    return Job(
        settings=stage.settings,
        inputs={slot: artifact.path for slot, artifact in inputs.items()},
        out=make_empty(folder.with_name(f".{folder.name}.partial")),
        scratch=scratch,
        shared=state / "shared",
        progress=child.progress,
        record=child.record,
        outside=stage.outside,
        meeting=_meeting(context, child),
    )


def _meeting(context: RunContext, child: Child) -> Meeting | None:
    """Return how further hosts find this stage. A run without a server has no further hosts."""
    if context.is_local:
        return None
    return Meeting(context.settings.tracking_uri, lambda place: child.tag(RENDEZVOUS, place))


def _note_look(context: RunContext, stage: Stage, job: Job) -> None:
    """Record that a stage is about to measure a model on a held-out split, if the stage does so."""
    if split := KINDS[stage.kind].split:
        facts = {"recipe": context.recipe.name, "run_key": context.run_key, "looked": stage.name}
        note_stage(context.nightly.client, split, job.inputs["data"], facts)


def _whole(folder: Path) -> Artifact | None:
    try:
        return verify(folder)
    except ArtifactError:
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
