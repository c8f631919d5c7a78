"""Stage `compress`, one per step of the recipe: load, apply, recover, judge, save, the same for every method.

A step that turns out worthless (see `tasks.worth`) or whose training diverged is dropped: the model before it goes on.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import load_model, save_model
from models.compression.quantize import requantized
from models.errors import DivergedError
from models.export import export_model
from models.packing import deployable
from models.workloads import WORKLOADS
from models.workloads.image_classification import ImageClassification
from models.workloads.retrieval import Tower
from tasks.artifact import verify_around, write_json
from tasks.black_box import TEACHER_FILE
from tasks.clean_process import measure
from tasks.errors import StillhouseError
from tasks.job import Job, Metrics
from tasks.measure import report_model
from tasks.methods import METHODS
from tasks.methods.bench import Bench, Compressed
from tasks.pull_data import materialise
from tasks.worth import STEP, Judged, judge_step

DEPLOYABLE = "model.onnx"
QUALITY = "search_accuracy"
SETTLING = ("distil", "quantize", "pack")
"""Methods that decide about integers themselves, or leave the weights alone."""


def compress(job: Job) -> Metrics:
    """Apply one step of the recipe to the model before it; returns the measures of the model that goes on."""
    tower = job.settings["step"].tower
    return _compress(job, WORKLOADS[job.settings["workload"]]) if tower is None else _compress_tower(job, tower)


def _compress_tower(job: Job, name: str) -> Metrics:
    """Change one tower as if it were a model of its own; the others go on as they are."""
    teacher, previous = job.inputs["teacher"], job.inputs["previous"]
    for other in previous.iterdir():
        if other.is_dir() and other.name != name:
            shutil.copytree(other, job.out / other.name)
    inputs = {**job.inputs, "teacher": teacher / name, "previous": previous / name}
    metrics = _compress(replace(job, inputs=inputs, out=job.out / name), Tower(name, teacher, previous))
    (job.out / name / STEP).rename(job.out / STEP)
    return metrics


def _compress(job: Job, workload: ImageClassification | Tower) -> Metrics:
    bench = Bench(job, materialise(job.inputs["data"]), workload)
    try:
        metrics = _save(bench, _apply(bench))
        cost = _cost(bench)
        gained = metrics[QUALITY] - verify_around(job.inputs["previous"]).metrics[QUALITY]
        judged = judge_step(-gained, cost, job.settings["worth"])
    except DivergedError as error:
        judged, cost, gained = Judged(kept=False, reason=f"dropped: {error}"), {}, 0.0
    if not judged.kept:
        metrics = _save(bench, _before(job, judged))
    job.progress(judged.reason)
    write_json(job.out / STEP, asdict(judged) | {"gained": gained, "cost": cost})
    return metrics | {"kept": float(judged.kept)}


def _before(job: Job, judged: Judged) -> Compressed:
    if (job.inputs["previous"] / TEACHER_FILE).exists():
        msg = f"{judged.reason}; a teacher known only as a file leaves no model to go on with: mend this step"
        raise StillhouseError(msg)
    return load_model(job.inputs["previous"])


def _apply(bench: Bench) -> Compressed:
    """Do the step; integers are opened before a step that changes layers and closed again after it."""
    step = bench.job.settings["step"]
    made = METHODS[step.method](bench, step)
    if step.method in SETTLING or bench.stored[1].quantization is None:
        return made
    return requantized(*made, bench.stored[1])


def _save(bench: Bench, made: Compressed) -> Metrics:
    """Leave the model as a checkpoint and as the file that would ship; returns its measures."""
    module, architecture = made
    save_model(bench.job.out, module, architecture)
    export_model(module, architecture, bench.workload.calibration(bench.data), bench.job.out / DEPLOYABLE)
    return report_model(bench.job.out, module, architecture, bench.workload.scorer(bench.data, "search"))


def _cost(bench: Bench) -> dict[str, Any]:
    """Compare the files that would ship before and after the step."""
    files = {"before": _file_before(bench), "after": deployable(bench.job.out, "model"), "input": _one_input(bench)}
    bench.job.progress("comparing the exported files before and after the step")
    return measure("models.step_cost", {name: str(path) for name, path in files.items()}, bench.job.scratch)


def _one_input(bench: Bench) -> Path:
    path = bench.job.scratch / "input.npy"
    np.save(path, bench.workload.calibration(bench.data)[:1])
    return path


def _file_before(bench: Bench) -> Path:
    for shipped in bench.job.inputs["previous"].glob("*.onnx*"):
        return shipped  # plain, packed or adopted: there is one, or none where a trained teacher is before
    exported = bench.job.scratch / "before.onnx"
    module, architecture = load_model(bench.job.inputs["previous"])
    export_model(module, architecture, bench.workload.calibration(bench.data), exported)
    return exported
