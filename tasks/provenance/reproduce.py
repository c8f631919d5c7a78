"""Rebuild a version from its provenance record, in a separate state folder, and compare the results.

The record gives the commit of the code, the data version and the recipe. The libraries are the ones installed here. The
rebuild does not reuse or change anything in this deployment. Its stages are stored in the reproduction's own folder, so
a killed reproduction continues where it stopped.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import MANIFEST, VOLATILE, verify
from stillhouse.tasks.artifacts.code_version import code_version, unpack_code
from stillhouse.tasks.artifacts.locks import exclusive
from stillhouse.tasks.artifacts.source_digest import ROOT
from stillhouse.tasks.artifacts.student_file import locate_student
from stillhouse.tasks.data.store.remote import open_remote
from stillhouse.tasks.data.store.revision import revision_of
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.judging.keep_step import STEP
from stillhouse.tasks.pipeline.providers import expect_same
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.provenance.evidence import read_output, stages_of_version
from stillhouse.tasks.provenance.verify import fetch_signed_record
from stillhouse.tasks.registry.versions import version_of
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.connection import connect

BUILD = """
import sys
from pathlib import Path
from stillhouse.tasks.pipeline.run_stage import run_stage
import stillhouse
recipe, code, *stages = sys.argv[1:]
if not Path(stillhouse.__file__).resolve().is_relative_to(Path(code).resolve()):
    sys.exit(f"the reproduction would run the code in {stillhouse.__file__}, not that in {code}; unset PYTHONPATH")
for number, stage in enumerate(stages, start=1):
    print(f"stage {number} of {len(stages)}: {stage}", flush=True)
    run_stage(Path(recipe), stage, "reproduce/stages")
"""
TIMED = (STEP, VOLATILE)
"""Files and folders that contain times. Their bytes differ in every run."""
SAME = "the same bytes"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Reproduced:
    """The result of a reproduction."""

    equal: bool
    """Whether the exported file has the same bytes."""
    lines: tuple[str, ...]
    """The comparison, line by line: first the stages, then the numbers."""
    first: str | None
    """First stage with different bytes, or `None`."""


def reproduce(model: str, version: str, show: Callable[[str], None]) -> Reproduced:
    """Rebuild a version and tell whether it is the same.

    Raises:
        StillhouseError: its provenance record is invalid, its code or data is no longer available, or a stage fails.
    """
    settings = load_settings()
    client = connect(settings.tracking_uri)
    chosen = version_of(client, model, version)
    record = fetch_signed_record(client, settings, chosen)
    folder = settings.state / "reproduce" / f"{model}-{version}"
    with exclusive(folder.with_suffix(".lock"), f"the reproduction of {model} version {version}"):
        _build(settings, record, folder, show)
        found = _compare(client, chosen, record, folder)
        if found.equal:
            shutil.rmtree(folder)
    return found


def _build(settings: Settings, record: Json, folder: Path, show: Callable[[str], None]) -> None:
    expect_same(record.get("providers", ()), f"{record['model']}")
    commit = record["code"]["commit"]
    code = ROOT if commit == code_version(settings.root) else unpack_code(settings.root, commit, folder / "code")
    recipe = _recipe(settings, record, folder)
    environment = _environment(settings, folder, code)
    names = [stage["stage"] for stage in record["lineage"]]
    stages = [name for name in names if name not in KINDS or KINDS[name].builds]
    run_aside(recipe, stages, environment, folder, show)


def _recipe(settings: Settings, record: Json, folder: Path) -> Path:
    """Write the recipe of the provenance record, with its data pinned."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {**record["recipe"], "data": _pin(settings, record, folder)}
    path = folder / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _pin(settings: Settings, record: Json, folder: Path) -> Json:
    """Return the section `data` that pins the record's data. Data of this host alone is lent to the reproduction."""
    dataset, (_, _, digest) = record["data"]["dataset"], record["data"]["data_version"].partition("-")
    named = record["recipe"]["data"]
    if not named.get("sha256"):
        return {**named, "dataset": dataset, "revision": revision_of(settings.root, dataset, digest)}
    lent = folder / "state" / settings.data_cache.name / digest
    lent.parent.mkdir(parents=True, exist_ok=True)
    lent.unlink(missing_ok=True)
    lent.symlink_to(settings.data_cache / digest)
    return {"dataset": dataset, "sha256": digest}


def _environment(settings: Settings, folder: Path, code: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(code / "src"),
        "PYTHONSAFEPATH": "1",
        "STILLHOUSE_ROOT": str(settings.root),
        "STILLHOUSE_STATE": str(folder / "state"),
        "STILLHOUSE_RUNS": str(folder / "runs"),
        "STILLHOUSE_DVC_URL": open_remote(settings).url,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }


def run_aside(
    recipe: Path, stages: Sequence[str], environment: Mapping[str, str], folder: Path, show: Callable[[str], None]
) -> None:
    """Run stages in a separate process that uses only the environment's code; `show` receives its output.

    Raises:
        StillhouseError: a stage failed. The error repeats the stage's message.
    """
    code = environment["PYTHONPATH"]
    command, errors = [sys.executable, "-c", BUILD, str(recipe), code, *stages], folder / "errors.txt"
    with errors.open("w+", encoding="utf-8") as told:
        with subprocess.Popen(  # noqa: S603 - our own code
            command, env=dict(environment), cwd=folder, stdout=subprocess.PIPE, stderr=told, text=True
        ) as build:
            for line in build.stdout or ():
                show(line.rstrip())
        if build.returncode:
            reason = (errors.read_text(encoding="utf-8").strip().splitlines() or [f"exit code {build.returncode}"])[-1]
            said = reason.removeprefix("stillhouse.tasks.errors.")
            msg = f"the reproduction broke ({said}); what it made is in {folder}"
            raise StillhouseError(msg)


def _compare(client: MlflowClient, version: ModelVersion, record: Json, folder: Path) -> Reproduced:
    before, now = stages_of_version(client, version), _stages(folder)
    told = {
        name: _tell(read_output(client, before[name], MANIFEST)["files"], _manifest(output)["files"])
        for name, output in now.items()
        if name != "evaluate"
    }
    first = next((name for name, said in told.items() if said != SAME), None)
    digest = locate_student(now["export"]).digest
    lines = [f"{name:28} {said}" for name, said in told.items()]
    far = _far(record["metrics"], now["evaluate"])
    return Reproduced(digest == record["file"]["digest"], (*lines, *far), first)


def _tell(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(name for name, _ in before.items() ^ now.items() if name.split("/")[0] not in TIMED)
    return f"other bytes: {', '.join(dict.fromkeys(names))}" if names else SAME


def _far(record: Json, folder: Path) -> list[str]:
    """Compare the numbers of the provenance record with the numbers of the reproduction."""
    found = parse_evaluation(json.loads((folder / "evaluation.json").read_text(encoding="utf-8")))
    lines = [f"{'':28} {'record':>12} {'now':>12}"]
    before, now = record["student"]["quality"]["gate"]["value"], found.student.quality.gate.value
    lines.append(f"{'student quality, gate':28} {before:12.2%} {now:12.2%} {100 * (now - before):+z.2f} points")
    lines.append(f"{'student bytes':28} {record['student']['bytes']:12,} {found.student.bytes:12,}")
    before, now = record["ratios"]["latency"]["value"], found.ratios.latency.value
    lines.append(f"{'times as fast, measured here':28} {before:11.2f}x {now:11.2f}x")
    return lines


def _stages(folder: Path) -> dict[str, Path]:
    """Return stage -> its verified output. If a stage has several outputs, the newest is used."""
    manifests = sorted((folder / "state" / "artifacts").glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    outputs = [verify(path.parent).path for path in manifests]
    return {_manifest(output)["origin"]["stage"]: output for output in outputs}


def _manifest(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / MANIFEST).read_text(encoding="utf-8"))
    return content
