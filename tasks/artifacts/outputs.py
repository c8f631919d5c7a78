"""The outputs of a run's stages, from this host or downloaded from MLflow. Every byte is checked in both cases."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Run

from stillhouse.tasks.artifacts.artifact import Artifact, verify
from stillhouse.tasks.artifacts.folders import find, install
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.pipeline.lineage import runs_of
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.tracking.answers import AbsentError, download_output
from stillhouse.tasks.tracking.tags import ARTIFACT, PREFIX


def output_of(context: RunContext, stage_name: str) -> Artifact:
    """Return the verified output of an earlier stage of this run. If this host does not have it, it is downloaded.

    Raises:
        ArtifactError: the stage has not finished with the recipe, code and data that the run began with.
    """
    return output_among(context, runs_of(context.recipe, context.nightly.children()), stage_name)


def output_among(context: RunContext, runs: Mapping[str, Run], stage_name: str) -> Artifact:
    """Return the verified output of a stage, from the runs that `runs_of` found.

    Raises:
        ArtifactError: the stage is not among the runs, or its output is altered or missing.
    """
    if stage_name not in runs:
        msg = f"stage {stage_name} of run {context.run_key} has not finished; run it first"
        raise ArtifactError(msg)
    run = runs[stage_name]
    tags = run.data.tags
    origin = tags.get(f"{PREFIX}reused_from", run.info.run_id)
    return locate_output(context, tags[f"{PREFIX}stage_key"], origin, tags[f"{PREFIX}digest"])


def locate_output(context: RunContext, key: str, run_id: str, digest: str) -> Artifact:
    """Return an artifact from this host, or else from MLflow. Every byte is checked in both cases."""
    folder = context.settings.artifacts / key
    with waiting(context.settings.artifacts / f".{key}.lock"):
        # absent or damaged on this host: MLflow has the original
        return find(folder, digest) or _download(context, folder, run_id, digest)


def _download(context: RunContext, folder: Path, run_id: str, digest: str) -> Artifact:
    partial = make_empty(folder.with_name(f".{folder.name}.partial"))
    try:
        download_output(context.nightly.client, run_id, ARTIFACT, partial)
    except AbsentError as error:
        msg = f"MLflow run {run_id} has no whole output ({' '.join(str(error).split())[:300]}); run its stage again"
        raise ArtifactError(msg) from error
    artifact = verify(partial / ARTIFACT)
    if artifact.digest != digest:
        msg = f"the output of MLflow run {run_id} was altered since it finished; run its stage again"
        raise ArtifactError(msg)
    return install(artifact.path, folder)


def make_empty(folder: Path) -> Path:
    """Make an empty folder, or empty an existing one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
