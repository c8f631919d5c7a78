"""A real registry with small real models in it, for tests of what happens to a version that passed its gate."""

import json
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import onnx
import requests
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec
from onnx import TensorProto, helper, numpy_helper
from report_samples import estimate, evaluation, final_test, gate_result

from stillhouse.models.onnx.export import INPUT, OUTPUT
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.tasks.artifacts.artifact import file_digest, json_digest
from stillhouse.tasks.artifacts.student_file import MODEL_FILE
from stillhouse.tasks.judging.champion_comparison import ANSWER, OLD_ANSWER, OLD_STAGE, STAGE
from stillhouse.tasks.provenance.log_student import RUNTIME, log_student, pin_packages
from stillhouse.tasks.provenance.places import OLD_RECORD, RECORD
from stillhouse.tasks.provenance.signing import sign
from stillhouse.tasks.registry.versions import CANDIDATE
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.runs import experiment_of
from stillhouse.tasks.tracking.tags import ARTIFACT, PREFIX

MODEL = "tiny"


def onnx_file(path: Path, seed: int, opset: int = 20) -> Path:
    """Write a linear model of 2 x 2 pixels; another seed has other weights."""
    return linear_model(path, np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32), (1, 2, 2), opset)


def linear_model(path: Path, weights_DK: np.ndarray, shape: tuple[int, int, int], opset: int = 20) -> Path:
    """Write a model that multiplies the pixels of a picture (C, H, W) by weights."""
    ends = [
        helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", *shape]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", weights_DK.shape[1]]),
    ]
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats_NCHW"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats_NCHW"], ["floats_ND"]),
        helper.make_node("MatMul", ["floats_ND", "weights_DK"], [OUTPUT]),
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], [numpy_helper.from_array(weights_DK, "weights_DK")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def registered(  # noqa: PLR0913 - each named by its caller
    client: MlflowClient, seed: int, verdict: str = "PASS", *, opset: int = 20, takes: str = INPUT, night: str = ""
) -> str:
    """Register a model as a night does, make it the candidate, and give its version.

    With a night's MLflow run, the model is logged by a stage of that night.
    """
    tags = {"mlflow.parentRunId": night, f"{PREFIX}stage": "register"} if night else {}
    run = client.create_run(experiment_of(client, MODEL), tags=tags)
    night = night or run.info.run_id
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run.info.run_id):
        model = onnx.load(onnx_file(Path(folder) / MODEL_FILE, seed, opset))
        signature = ModelSignature(Schema([TensorSpec(np.dtype(np.uint8), (-1, 1, 2, 2), takes)]))
        options = {"save_as_external_data": False, "pip_requirements": pin_packages(("onnx", *RUNTIME))}
        logged = mlflow.onnx.log_model(model, name="student", signature=signature, **options)
        stored = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=folder))
        digest = file_digest(stored / MODEL_FILE)
    version = _register(client, night, logged.model_uri, MODEL, digest, ("cat", "dog", "bird"), verdict)
    client.set_tag(run.info.run_id, f"{PREFIX}version", version)
    return version


def registered_bundle(client: MlflowClient, model: str, bundle: Bundle) -> str:
    """Register a bundle by the code of a night, make it the candidate, and give its version."""
    run = client.create_run(experiment_of(client, model)).info.run_id
    uri = log_student(SimpleNamespace(run_id=run, progress=lambda _: None), bundle)  # type: ignore[arg-type]
    return _register(client, run, uri, model, bundle.digest, bundle.about.get("labels", ()))


def _register(  # noqa: PLR0913, PLR0917 - all that a version says
    client: MlflowClient, run: str, uri: str, model: str, digest: str, labels: Sequence[str], verdict: str = "PASS"
) -> str:
    record = sign(load_settings(), {"model": model, "file": {"digest": digest}})
    client.log_dict(run, record, RECORD.path)
    tags = {f"{PREFIX}labels": "\n".join(labels), RECORD.tag: json_digest(record), f"{PREFIX}digest": digest}
    tags |= {f"{PREFIX}verdict": verdict, f"{PREFIX}nightly_run": run}
    version = str(mlflow.register_model(uri, model, tags=tags).version)
    client.set_registered_model_alias(model, CANDIDATE, version)
    return version


def with_night(
    client: MlflowClient, version: str, comparison: dict[str, Any] | None = None, *, final: str | None = "final_test"
) -> str:
    """Give the night that a registered version names the stages whose outputs a decision is made on."""
    night = client.get_model_version(MODEL, version).tags[f"{PREFIX}nightly_run"]
    files = {
        "gate": ("gate.json", gate_result()),
        "evaluate": ("evaluation.json", evaluation()),
        "compare_champion": ("champion_comparison.json", comparison or {"champion": None}),
        "validate": None,
    } | ({final: ("final_test.json", final_test())} if final else {})
    for stage, file in files.items():
        tags = {"mlflow.parentRunId": night, f"{PREFIX}stage": stage}
        run = client.create_run(experiment_of(client, MODEL), tags=tags, run_name=stage)
        if file is not None:
            client.log_dict(run.info.run_id, file[1], f"{ARTIFACT}/{file[0]}")
    return version


def with_old_names(client: MlflowClient, version: str) -> None:
    """Give a version and its night the names that they had until commit 30cef8a."""
    chosen = client.get_model_version(MODEL, version)
    night = chosen.tags[f"{PREFIX}nightly_run"]
    with tempfile.TemporaryDirectory() as folder:
        record = json.loads(Path(client.download_artifacts(night, RECORD.path, folder)).read_text("utf-8"))
    client.log_dict(night, record, OLD_RECORD.path)
    client.log_dict(night, {}, RECORD.path)
    client.set_model_version_tag(MODEL, version, OLD_RECORD.tag, chosen.tags[RECORD.tag])
    client.delete_model_version_tag(MODEL, version, RECORD.tag)
    for run in client.search_runs([client.get_run(night).info.experiment_id]):
        if run.data.tags.get(f"{PREFIX}stage") == STAGE:
            client.set_tag(run.info.run_id, f"{PREFIX}stage", OLD_STAGE)
            client.log_dict(run.info.run_id, {"champion": None}, f"{ARTIFACT}/{OLD_ANSWER}")
            client.log_dict(run.info.run_id, {"altered": True}, f"{ARTIFACT}/{ANSWER}")


def against(  # noqa: PLR0913 - each named by its caller
    low: float,
    *,
    fewer: float = 1.0,
    churn: float = 0.02,
    fast: tuple[float, float] = (0.98, 1.02),
    slices: tuple[float, ...] = (-0.01, 0.0),
    champion: str = "1",
) -> dict[str, Any]:
    """Give a champion_comparison.json: least difference in quality, as a whole and by slice, bytes, churn and time."""
    difference = estimate(low + 0.01, low, low + 0.02) | {"lower_bound": low}
    paired = {"difference": difference, "mcnemar_p": 0.04, "discordant": [40, 60], "churn": churn}
    names = ("Shirt", "Coat", "Bag")
    differences = {name: estimate(each + 0.01, each, each + 0.02) for name, each in zip(names, slices, strict=False)}
    measured = {"paired": paired, "bytes": fewer, "latency": estimate(sum(fast) / 2, *fast), "slices": differences}
    return {"champion": champion, "measured": measured}


def killed_at_call(number: int, deed: Callable[[], object], *, after: bool) -> bool:
    """Do a deed in a process of its own that kills itself at its n-th call that changes something at a server.

    Args:
        number: of the call, from 1.
        deed: what is done.
        after: once the server has answered, or else before it is asked.

    Returns:
        Whether there was such a call.
    """
    child = os.fork()
    if child == 0:
        _die_at(number, after=after)
        deed()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _die_at(number: int, *, after: bool) -> None:
    send, left = requests.Session.send, [number]

    def counted(session: requests.Session, request: requests.PreparedRequest, **options: object) -> requests.Response:
        changes = request.method != "GET" and not (request.url or "").endswith("validation")
        left[0] -= changes
        deadly = changes and left[0] == 0
        if deadly and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        response = send(session, request, **options)  # type: ignore[arg-type]
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    requests.Session.send = counted  # type: ignore[method-assign,assignment]
