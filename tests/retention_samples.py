"""Nights of a toy in a real MLflow: they take a tenth of a second, and leave what real nights leave."""

import functools
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, registered

from stillhouse.tasks.artifacts.artifact import json_digest, seal, verify, write_json
from stillhouse.tasks.artifacts.folders import install
from stillhouse.tasks.artifacts.outputs import make_empty
from stillhouse.tasks.reporting.report import REPORT, SUMMARY
from stillhouse.tasks.retention.collect import DAY, Collected, collect
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.answers import download_output
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import Nightly, open_nightly
from stillhouse.tasks.tracking.tags import ARTIFACT

STAGES = ("pull", "teacher", "export")
BYTES = 100_000
"""Size of the output of one stage."""


@dataclass(frozen=True)
class ToyNight:
    """What a night left."""

    nightly: Nightly
    keys: Mapping[str, str]
    """Stage -> its key."""
    runs: Mapping[str, str]
    """Stage -> its MLflow run."""
    version: str = ""


@functools.cache
def empty_database() -> Path:
    """Make an MLflow database once: its tables take a while."""
    path = Path(tempfile.mkdtemp(dir=os.environ["STILLHOUSE_TEST_DATA"])) / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def make_deployment(root: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Make a folder the checkout, the state folder and the MLflow of a deployment."""
    (root / "mlflow").mkdir()
    uri = f"sqlite:///{shutil.copy(empty_database(), root / 'mlflow')}"
    for name, value in (("STATE", root), ("RUNS", root / "runs"), ("ROOT", root)):
        monkeypatch.setenv(f"STILLHOUSE_{name}", str(value))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(root)
    return connect(uri)


def collect_before(moment: float, **options: Any) -> Collected:
    """Delete what is older than a moment."""
    return collect(load_settings(), days=(time.time() - moment) / DAY, really=True, **options)


def active(client: MlflowClient) -> set[str]:
    """List the runs that MLflow shows."""
    return {run.info.run_id for run in client.search_runs([each.experiment_id for each in client.search_experiments()])}


def in_mlflow(night: ToyNight) -> set[str]:
    """List the runs of a night and of its stages."""
    return {night.nightly.run_id, *night.runs.values()}


def output_in_mlflow(client: MlflowClient, run_id: str) -> str:
    """Download the output of a stage; returns its digest."""
    with tempfile.TemporaryDirectory() as folder:
        return verify(download_output(client, run_id, ARTIFACT, Path(folder))).digest


def toy_night(  # noqa: PLR0913 - each named by its caller
    client: MlflowClient,
    number: int,
    *,
    reuse: ToyNight | None = None,
    registers: bool = False,
    open_stage: str = "",
    stages: Sequence[str] = STAGES,
) -> ToyNight:
    """Run a night.

    Args:
        client: MLflow.
        number: makes the bytes of the night its own.
        reuse: a night whose outputs this one reuses.
        registers: the night registers a version.
        open_stage: the stage that is still under way at the end; the night has not ended then.
        stages: names of the stages.
    """
    nightly = open_nightly(client, MODEL, f"test/{number}")
    keys, runs = dict[str, str](), dict[str, str]()
    for stage in stages:
        keys[stage] = reuse.keys[stage] if reuse else json_digest([stage, number])
        runs[stage] = _stage(nightly, stage, keys[stage], reuse.runs[stage] if reuse else "")
    version = registered(client, number, night=nightly.run_id) if registers else ""
    _report(client, nightly, number)
    if open_stage:
        client.update_run(runs[open_stage], status="RUNNING")
    else:
        client.set_terminated(nightly.run_id)
    return ToyNight(nightly, keys, runs, version)


def _stage(nightly: Nightly, stage: str, key: str, origin: str) -> str:
    artifacts = load_settings().artifacts
    with nightly.child(stage, stage, key) as child:
        if origin:
            child.tag("reused_from", origin)
            return child.run_id
        out = make_empty(artifacts / f".{key}.partial")
        (out / "weights.bin").write_bytes(os.urandom(BYTES))
        artifact = install(seal(out, {}, stage=stage).path, artifacts / key)
        child.keep(artifact.path)
        child.tag("digest", artifact.digest)
    return child.run_id


def _report(client: MlflowClient, nightly: Nightly, number: int) -> None:
    folder = load_settings().runs / f"night_{number}"
    folder.mkdir(parents=True)
    (folder / REPORT).write_text("what came of it", encoding="utf-8")
    write_json(folder / SUMMARY, {"number": number})
    client.log_artifacts(nightly.run_id, str(folder), "report")
