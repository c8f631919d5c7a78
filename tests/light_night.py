"""Nights whose heavy stages are replaced by light ones: real keys, runs, registry and records, in a few seconds.

The student is a linear model whose weights come from what the recipe says of its teacher, so that another recipe
makes another file; the evaluation is that of a believable night.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from report_samples import evaluation
from tiny_house import House, tiny_house

from stillhouse.models.onnx.export import INPUT, OUTPUT
from stillhouse.models.runtime.bundle import write_bundle
from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.pipeline import run_stage as stage_module
from stillhouse.tasks.pipeline.job import Job, Metrics, StageFunction
from stillhouse.tasks.pipeline.stages import KINDS

WEIGHTS = "weights.json"
done: list[str] = []
"""Kinds of the stages whose work was done, not reused, in order."""


def _validate(job: Job) -> Metrics:
    write_json(job.out / "validation.json", {})
    return {}


def _teacher(job: Job) -> Metrics:
    write_json(job.out / WEIGHTS, {"epochs": job.settings["teacher"].training.epochs, "seed": job.settings["seed"]})
    return {"validation_quality": 0.9}


def _compress(job: Job) -> Metrics:
    write_json(job.out / WEIGHTS, {"from": file_digest(job.inputs["previous"] / WEIGHTS)})
    write_json(job.out / "step.json", {"kept": True, "reason": "kept", "gained": 0.0, "cost": {}})
    return {"kept": 1.0}


def _export(job: Job) -> Metrics:
    for name in ("teacher", "student"):
        seed = int(file_digest(job.inputs[name] / WEIGHTS)[:8], 16)
        (job.out / name).mkdir()
        onnx.save(_linear(seed), job.out / name / "model.onnx")
        write_bundle(job.out / name, "image_classification", {"model": [job.out / name / "model.onnx"]})
    return {}


def _linear(seed: int) -> onnx.ModelProto:
    weights_DK = np.random.default_rng(seed).normal(size=(64, 10)).astype(np.float32)
    ends = [
        helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", 1, 8, 8]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", 10]),
    ]
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats_NCHW"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats_NCHW"], ["floats_ND"]),
        helper.make_node("MatMul", ["floats_ND", "weights_DK"], [OUTPUT]),
    ]
    graph = helper.make_graph(nodes, "light", ends[:1], ends[1:], [numpy_helper.from_array(weights_DK, "weights_DK")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _evaluate(job: Job) -> Metrics:
    """Give every student a number of bytes of its own, so that a card tells whose it is."""
    found = evaluation()
    found["student"]["bytes"] = bytes_of(job.inputs["models"])
    write_json(job.out / "evaluation.json", found)
    return {"ratio_bytes": 71.29}


def bytes_of(models: Path) -> int:
    """Give the bytes that a light evaluation says of a student."""
    return 10_000 + int(file_digest(models / "student" / "model.onnx")[:4], 16)


def _load(job: Job) -> Metrics:
    write_json(job.out / "load_test.json", {})
    return {}


LIGHT: dict[str, StageFunction] = {
    "validate": _validate,
    "teacher": _teacher,
    "compress": _compress,
    "export": _export,
    "evaluate": _evaluate,
    "load_test": _load,
}


def _noting(kind: str, function: StageFunction) -> StageFunction:
    def noted(job: Job) -> Metrics:
        done.append(kind)
        return function(job)

    return noted


@contextmanager
def light_house(root: Path) -> Iterator[House]:
    """Set up a house with light stages."""
    with pytest.MonkeyPatch.context() as patch, tiny_house(root) as house:
        lighten(patch)
        yield house


def lighten(patch: pytest.MonkeyPatch) -> None:
    """Replace the heavy stages by light ones, and note in `done` what works."""
    real = stage_module.function_of
    for kind in (name for name, row in KINDS.items() if row.reusable):
        doing(patch, kind, _noting(kind, LIGHT.get(kind) or real(kind)))


def doing(patch: pytest.MonkeyPatch, kind: str, function: StageFunction) -> None:
    """Let another function do a kind of stage."""
    real = stage_module.function_of
    patch.setattr(stage_module, "function_of", lambda asked: function if asked == kind else real(asked))


def edit(recipe: Path, path: str, value: object) -> None:
    """Change one option of a recipe file, such as `teacher.training.epochs`."""
    content: Any = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    *way, last = path.split(".")
    place = content
    for name in way:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[int(last) if isinstance(place, list) else last] = value
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
