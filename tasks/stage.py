"""Run one stage of one nightly run, or reuse it: the only code that keys, reuses and resumes work."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from tasks.artifact import Artifact, seal, verify
from tasks.artifact_folders import find, install
from tasks.errors import ArtifactError, RecipeError, ServiceError, StillhouseError
from tasks.frozen import Asked, Frozen, join
from tasks.held_out import note_stage
from tasks.job import Job
from tasks.lineage import CODE, inputs_of, runs_of
from tasks.locks import waiting
from tasks.machine import machine
from tasks.measured import DONE_ON, WORK_KEY, holds_here_only, why_anew
from tasks.mlflow_answers import AbsentError, download_output
from tasks.outside import as_tags, outside_of
from tasks.pipeline import Stage, stages_of
from tasks.pull_data import POINTER, read_pointer
from tasks.recipe import Recipe
from tasks.settings import Settings, load_settings
from tasks.stage_key import code_of, stage_key
from tasks.tracking import ARTIFACT, PREFIX, Child, Nightly, connect, finished_with_key

SPECIAL = ("register", "report")
"""Kinds of stages that act on the registry or on the whole run, and are never reused."""
Result = dict[str, float | str]


@dataclass(frozen=True)
class Desk:
    """What every stage of a run works with."""

    settings: Settings
    recipe: Recipe
    """What the run began with; the file may say something else by now."""
    recipe_path: Path
    run_key: str
    nightly: Nightly
    frozen: Frozen


def run_stage(  # noqa: PLR0913 - which stage of which run, and what may differ from the recipe
    recipe_path: Path,
    stage_name: str,
    run_key: str,
    *,
    revision: str | None = None,
    seed: int | None = None,
    force: bool = False,
) -> Result:
    """Do one stage, or take over what was done before; returns small metrics.

    Args:
        recipe_path: the recipe's file.
        stage_name: one of `stages_of(recipe)`.
        run_key: names the nightly run; stages with the same key belong together.
        revision: data revision to use in place of the recipe's.
        seed: seed to use in place of the recipe's.
        force: do it again even if nothing changed.

    Raises:
        StillhouseError: one sentence that says what to mend.
    """
    settings, asked = load_settings(), Asked(recipe_path, revision, seed)
    try:
        desk = _desk(settings, asked, run_key, stage_name)
        lines = list(desk.frozen.lines(asked, run_key))
        for line in lines:
            print(line, flush=True)  # noqa: T201 - becomes a line of the Airflow log
        stage = _stage(desk.recipe, stage_name, lines)
        return _act(desk, stage) if stage.kind in SPECIAL else _tracked(desk, stage, force=force)
    except MlflowException as error:
        msg = f"MLflow at {settings.tracking_uri} refused ({_one_line(error)}); look at its log and run the stage again"
        raise ServiceError(msg) from error
    except OSError as error:
        what = f"{error.filename or settings.state} ({error.strerror or error})"
        msg = (
            f"stage {stage_name} could not read or write {what}; free the disk or mend its permissions, then run again"
        )
        raise StillhouseError(msg) from error


def desk_of(recipe_path: Path, run_key: str, *, revision: str | None = None, seed: int | None = None) -> Desk:
    """Open what the stages of a run work with; its run in MLflow is made if there is none.

    Raises:
        ServiceError: MLflow does not answer.
    """
    return _desk(load_settings(), Asked(recipe_path, revision, seed), run_key, "")


def _desk(settings: Settings, asked: Asked, run_key: str, stage_name: str) -> Desk:
    nightly, frozen = join(connect(settings.tracking_uri), settings, asked, run_key, stage_name)
    return Desk(settings, frozen.recipe, asked.path, run_key, nightly, frozen)


def _stage(recipe: Recipe, name: str, lines: Sequence[str]) -> Stage:
    stages = {stage.name: stage for stage in stages_of(recipe)}
    if name not in stages:
        msg = "; ".join([f"recipe {recipe.name} has no stage {name!r}; use one of {', '.join(stages)}", *lines])
        raise RecipeError(msg)
    return stages[name]


def _act(desk: Desk, stage: Stage) -> Result:
    if stage.kind == "register":
        from tasks.register import register  # imports onnx, which most stages do not need

        return register(desk, stage)
    from tasks.collect import write_report  # imports matplotlib, which most stages do not need

    return write_report(desk)


def _tracked(desk: Desk, stage: Stage, *, force: bool) -> Result:
    try:
        runs = runs_of(desk.recipe, desk.nightly.children())
        inputs = {role: _output(desk, runs, name) for role, name in stage.inputs.items()}
        stage, tags = _with_facts(desk, stage, inputs_of(stage, runs))
        key = stage_key(stage, inputs_of(stage, runs), tags[CODE])
    except Exception:
        with desk.nightly.child(stage.name, stage.kind):  # whose page says why the stage has no key
            raise
    with desk.nightly.child(stage.name, stage.kind, key) as child:
        for name, value in tags.items():
            child.tag(name, value)
        found = None if force else _reusable(desk, key, child)
        if found is None:
            _say_why(desk, stage, child, tags[WORK_KEY])
        artifact = found or _work(desk, stage, inputs, key, child, force=force)
        child.record(0, artifact.metrics)
        if (artifact.path / POINTER).exists():
            child.tag("content", read_pointer(artifact.path)["digest"])
        child.tag("digest", artifact.digest)
        return {"reused": float(found is not None), **artifact.metrics}


def _with_facts(desk: Desk, stage: Stage, inputs: Mapping[str, str]) -> tuple[Stage, dict[str, str]]:
    """Give a stage the facts from outside that its key counts, and the tags that let others follow the key."""
    code = code_of(stage.kind)
    stage = replace(stage, outside=outside_of(desk, stage))
    work_key = stage_key(stage, inputs, code)
    if holds_here_only(desk.nightly.client, stage, work_key):
        stage = replace(stage, outside={**stage.outside, "machine": machine()})
    return stage, {CODE: code, WORK_KEY: work_key, **as_tags(stage.outside)}


def _say_why(desk: Desk, stage: Stage, child: Child, work_key: str) -> None:
    """Note where the work is done, and why it is done although another machine had done it."""
    child.tag(DONE_ON, machine())
    why = why_anew(desk.nightly.client, desk.nightly.experiment_id, work_key) if "machine" in stage.outside else ""
    if why:
        child.tag("measured_anew", why)
        child.progress(why)


def output_of(desk: Desk, stage_name: str) -> Artifact:
    """Give the verified output of an earlier stage of this run, downloaded if this host does not have it.

    Raises:
        ArtifactError: that stage has not finished with what the run began with.
    """
    return _output(desk, runs_of(desk.recipe, desk.nightly.children()), stage_name)


def _output(desk: Desk, runs: Mapping[str, Run], stage_name: str) -> Artifact:
    if stage_name not in runs:
        msg = f"stage {stage_name} of run {desk.run_key} has not finished; run it first"
        raise ArtifactError(msg)
    run = runs[stage_name]
    tags = run.data.tags
    origin = tags.get(f"{PREFIX}reused_from", run.info.run_id)
    return _local(desk, tags[f"{PREFIX}stage_key"], origin, tags[f"{PREFIX}digest"])


def _reusable(desk: Desk, key: str, child: Child) -> Artifact | None:
    for run in finished_with_key(desk.nightly.client, key):
        digest = run.data.tags.get(f"{PREFIX}digest")
        if digest is None:
            continue
        origin = run.data.tags.get(f"{PREFIX}reused_from", run.info.run_id)
        try:
            artifact = _local(desk, key, origin, digest)
        except ArtifactError as error:
            child.progress(f"cannot reuse run {origin}: {error}")
            continue
        if origin != child.run_id:
            child.tag("reused_from", origin)
        if f"{PREFIX}{DONE_ON}" in run.data.tags:
            child.tag(DONE_ON, run.data.tags[f"{PREFIX}{DONE_ON}"])
        child.progress("reused: nothing it depends on has changed")
        return artifact
    return None


def _local(desk: Desk, key: str, run_id: str, digest: str) -> Artifact:
    """Give an artifact from this host, or else from MLflow, checking every byte either way."""
    folder = desk.settings.artifacts / key
    with waiting(desk.settings.artifacts / f".{key}.lock"):
        # absent or damaged here: MLflow has the original
        return find(folder, digest) or _download(desk, folder, run_id, digest)


def _download(desk: Desk, folder: Path, run_id: str, digest: str) -> Artifact:
    partial = _empty(folder.with_name(f".{folder.name}.partial"))
    try:
        download_output(desk.nightly.client, run_id, ARTIFACT, partial)
    except AbsentError as error:
        msg = f"MLflow run {run_id} has no whole output ({_one_line(error)}); run its stage again"
        raise ArtifactError(msg) from error
    artifact = verify(partial / ARTIFACT)
    if artifact.digest != digest:
        msg = f"the output of MLflow run {run_id} was altered since it finished; run its stage again"
        raise ArtifactError(msg)
    return install(artifact.path, folder)


def _work(  # noqa: PLR0913 - one call, every argument named
    desk: Desk, stage: Stage, inputs: Mapping[str, Artifact], key: str, child: Child, *, force: bool
) -> Artifact:
    """Do the work aside, seal it, move it into place, upload it. A second process on the same work waits."""
    folder = desk.settings.artifacts / key
    with waiting(desk.settings.artifacts / f".{key}.lock"):
        whole = None if force else _whole(folder)
        artifact = whole or _fill(desk, stage, inputs, folder, child)
        child.keep(artifact.path)
        child.say_where(artifact.path, desk.settings.tracking_uri)
    return artifact


def _fill(desk: Desk, stage: Stage, inputs: Mapping[str, Artifact], folder: Path, child: Child) -> Artifact:
    # Before torch is loaded: its threads would otherwise spin for each other while Airflow needs their core,
    # which made training slower by a quarter to three quarters beside one busy process.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    # Huge pages for torch's larger tensors: a training step took 8 % less here.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from models.errors import ModelError
    from tasks.work import STAGES  # imports torch, which a reused stage does not need

    out = _empty(folder.with_name(f".{folder.name}.partial"))
    scratch = desk.settings.state / "scratch" / folder.name
    scratch.mkdir(parents=True, exist_ok=True)
    paths = {role: artifact.path for role, artifact in inputs.items()}
    note_stage(desk, stage.name, stage.kind, paths)
    shared = desk.settings.state / "shared"
    job = Job(stage.settings, paths, out, scratch, shared, child.progress, child.record, stage.outside)
    try:
        metrics = STAGES[stage.kind](job)
    except ModelError as error:
        msg = f"stage {stage.name}: {error}"
        raise StillhouseError(msg) from error
    seal(out, metrics, stage=stage.name, kind=stage.kind, run_key=desk.run_key)
    artifact = install(out, folder)
    shutil.rmtree(scratch)
    return artifact


def _whole(folder: Path) -> Artifact | None:
    try:
        return verify(folder)
    except ArtifactError:
        return None


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
