"""The stage `register`: what passed its gate becomes a version in MLflow's registry, once, and only if it is whole.

A half-uploaded model can be registered in MLflow, so the model is downloaded again and compared with the judged
file before any version exists. A version carries the digest of its file: registering twice finds the first one.
A packed student is logged twice in one model: unpacked, so that MLflow loads it without any pickle, and packed, as
it was judged, whose digest the version carries.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import onnx
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from models.errors import ModelError
from models.export import INPUT, OUTPUT
from models.inputs.images import describe, load_images
from models.packing import SUFFIX, deployable, is_packed, unpacked
from tasks.artifact import file_digest, json_digest
from tasks.errors import ArtifactError
from tasks.mlflow_answers import AbsentError, download_model
from tasks.pipeline import Stage
from tasks.pull_data import materialise, read_pointer
from tasks.register_passport import issue, lineage_of
from tasks.register_towers import TOWERS_FOLDER, log_towers, pinned, towers_digest
from tasks.reporting.final_test import FinalTest, read_final_test
from tasks.tracking import PREFIX, STAGE_RUNS, Child

if TYPE_CHECKING:
    from tasks.stage import Desk

CANDIDATE = "candidate"
REQUIREMENTS = ("onnx", "onnxruntime", "numpy")
MOST_LABELS = 100
"""Classes whose names fit a tag of MLflow."""
MODEL_FILE = "model.onnx"
PACKED_FOLDER = "extra_files"
"""Where MLflow puts a packed student beside the ONNX file that it can load."""


def register(desk: "Desk", stage: Stage) -> dict[str, float | str]:
    """Register the judged student if its verdict is PASS, and point the alias `candidate` at it.

    Returns:
        `model` and `version`, or `skipped` with the reason.

    Raises:
        ArtifactError: MLflow does not give back the file that was judged.
    """
    from tasks.stage import output_of

    inputs = {role: output_of(desk, name).path for role, name in stage.inputs.items()}
    gate = json.loads((inputs["gate"] / "gate.json").read_text(encoding="utf-8"))
    verdict = gate["verdict"]
    key = json_digest({role: path.name for role, path in inputs.items()})
    with desk.nightly.child(stage.name, stage.kind, key) as child:
        if verdict != "PASS":
            child.progress(f"not registered: the verdict is {verdict}")
            reasons = "; ".join(check["reason"] for check in gate["checks"] if check["verdict"] != "PASS")
            return {"skipped": f"the verdict is {verdict}, so nothing is registered: {reasons}"}
        version = _registered(desk, inputs, child)
        desk.nightly.client.update_registered_model(desk.recipe.name, _about(desk))
        desk.nightly.client.set_registered_model_alias(desk.recipe.name, CANDIDATE, version)
        child.tag("version", version)
        child.progress(f"{desk.recipe.name} version {version} is the {CANDIDATE}")
        return {"model": desk.recipe.name, "version": version}


def _registered(desk: "Desk", inputs: dict[str, Path], child: Child) -> str:
    student, digest = judged(inputs["models"])
    known = version_with_digest(desk.nightly.client, desk.recipe.name, digest)
    if known:
        return str(known.version)
    log = log_towers if student.is_dir() else _log_model
    runs = lineage_of(desk)
    uri = log(child, student, inputs["data"])
    expect_digest(uri, digest)
    evaluation = json.loads((inputs["evaluation"] / "evaluation.json").read_text(encoding="utf-8"))
    passport, card = issue(desk, inputs, digest, evaluation, runs)
    own = {f"{PREFIX}digest": digest, f"{PREFIX}passport": passport, f"{PREFIX}labels": _labels(inputs["data"])}
    tags = _tags(desk, inputs["data"], evaluation) | _made_by(runs) | own
    version = str(mlflow.register_model(uri, desk.recipe.name, tags=tags).version)
    about = _describe(evaluation, read_final_test(inputs["final_test"]))
    desk.nightly.client.update_model_version(desk.recipe.name, version, f"{about}\n\n{card}")
    return version


def _about(desk: "Desk") -> str:
    return (
        f"{desk.recipe.description}\n\nEvery version passed the gate of a night; the alias `{CANDIDATE}` is the newest "
        f"that did. What is live is in `{desk.recipe.name}-production`."
    )


def _labels(data: Path) -> str:
    """One class a line, of a model that has classes, as the server names them."""
    labels: list[str] = describe(materialise(data)).get("labels", [])
    return "\n".join(labels) if len(labels) <= MOST_LABELS else ""


def judged(models: Path) -> tuple[Path, str]:
    """Find what the stage export left of the student, a file or a folder of towers, and its digest."""
    towers = models / "student"
    if towers.is_dir():
        return towers, towers_digest(towers)
    student = deployable(models, "student")
    return student, file_digest(student)


def _describe(evaluation: dict[str, Any], final: FinalTest) -> str:
    student, ratios = evaluation["student"], evaluation["ratios"]
    sealed = f"{final.opened.student.value:.2%} on the sealed test, " if final.opened else ""
    return (
        f"{student['quality']['gate']['value']:.2%} on the gate role "
        f"({ratios['quality']['gate']['value']:.2%} of its teacher), {sealed}"
        f"{student['bytes']:,} bytes ({ratios['bytes']:.0f}x fewer), "
        f"{student['latency_ms']['p10']:.3f} ms ({ratios['latency']['value']:.1f}x faster)"
    )


def version_with_digest(client: MlflowClient, model: str, digest: str) -> ModelVersion | None:
    """Find the version of a model whose file has this digest."""
    versions = client.search_model_versions(f"name = '{model}'")
    return next((version for version in versions if version.tags.get(f"{PREFIX}digest") == digest), None)


def expect_digest(model_uri: str, digest: str) -> None:
    """Download a logged model and compare the file that was judged with a digest.

    Raises:
        ArtifactError: the file is missing or differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetched(model_uri, digest, Path(folder))


def fetched(model_uri: str, digest: str, folder: Path) -> Path:
    """Download a logged model whose judged file has a digest; returns where it lies.

    Beside a packed file lies the ONNX file that MLflow loads; the first must unpack to the second.

    Raises:
        ArtifactError: the file is missing or differs.
        ServiceError: MLflow does not answer, or gives only a part.
    """
    try:
        where = download_model(model_uri, folder)
        found = _judged_digest(where)
    except (AbsentError, ModelError, OSError) as error:
        where, found = folder, f"nothing ({' '.join(str(error).split())[:200]})"
    if found != digest:
        msg = f"MLflow gives back {found} for {model_uri}, not the judged file {digest}; run the stage register again"
        raise ArtifactError(msg)
    return where


def judged_path(folder: Path) -> Path:
    """Find in a downloaded model what was judged: the folder of its towers, its packed file, or else its ONNX file."""
    if (folder / TOWERS_FOLDER).is_dir():
        return folder / TOWERS_FOLDER
    packed = sorted((folder / PACKED_FOLDER).glob(f"*{SUFFIX}"))
    return packed[0] if packed else folder / MODEL_FILE


def _judged_digest(folder: Path) -> str:
    path = judged_path(folder)
    if path.is_dir():
        return towers_digest(path)
    if is_packed(path) and unpacked(path) != (folder / MODEL_FILE).read_bytes():
        return f"a {path.name} that does not unpack to its {MODEL_FILE}"
    return file_digest(path)


def _log_model(child: Child, student: Path, data: Path) -> str:
    folder = materialise(data)
    example_NCHW = load_images(folder, "gate").images_NCHW[:1]
    classes = len(describe(folder)["labels"])
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, *example_NCHW.shape[1:]), INPUT)]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, classes), OUTPUT)]),
    )
    child.progress("logging the student as an ONNX model")
    with mlflow.start_run(run_id=child.run_id):
        logged = mlflow.onnx.log_model(
            onnx.load_from_string(unpacked(student)),
            name="student",
            signature=signature,
            input_example={INPUT: example_NCHW},
            save_as_external_data=False,
            extra_files=[str(student)] if is_packed(student) else None,
            pip_requirements=pinned(REQUIREMENTS),
        )
    return str(logged.model_uri)


def _tags(desk: "Desk", data: Path, evaluation: dict[str, Any]) -> dict[str, str]:
    ratios = evaluation["ratios"]
    facts = {
        "verdict": "PASS",
        "recipe": desk.recipe.name,
        "run_key": desk.run_key,
        "nightly_run": desk.nightly.run_id,
        "data_version": read_pointer(data)["data_version"],
        "code_version": desk.frozen.code_version,
        "ratio_bytes": f"{ratios['bytes']:.1f}",
        "ratio_latency": f"{ratios['latency']['value']:.1f}",
        "ratio_quality": f"{ratios['quality']['gate']['value']:.4f}",
    }
    return {PREFIX + name: value for name, value in facts.items()}


def _made_by(runs: Mapping[str, Run]) -> dict[str, str]:
    """Name the exact runs that made and judged a version: what is shown of it is read from these only."""
    exact = {stage: [run.info.run_id, run.data.tags[f"{PREFIX}digest"]] for stage, run in runs.items()}
    return {f"{PREFIX}teacher_run": runs["teacher"].info.run_id, STAGE_RUNS: json.dumps(exact)}
