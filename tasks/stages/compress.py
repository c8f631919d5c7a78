"""Stage `compress`, one per step of the recipe: load, apply, fine-tune, judge and save, the same for every method.

A step is dropped if it saves too little (see `tasks.judging.keep_step`) or if its training diverges. The next step then
starts from the model before the dropped step.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from stillhouse.models.compression.quantization.requantize import requantize
from stillhouse.models.errors import DivergedError
from stillhouse.models.onnx.export import export_model
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.weights import WEIGHTS
from stillhouse.models.training.checkpoint import Architecture, load_model, save_model
from stillhouse.models.training.ranks import is_first
from stillhouse.models.workloads.training_base import Training, training_of
from stillhouse.tasks.artifacts.artifact import verify_around, write_json
from stillhouse.tasks.compression.components import components_in
from stillhouse.tasks.compression.measure import QUALITY, add_up, describe_model
from stillhouse.tasks.compression.methods import METHODS
from stillhouse.tasks.compression.quantize import quantize_jointly
from stillhouse.tasks.compression.quantize_file import quantize_file, rounds_a_file
from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.distributed.launch import run_in_processes, starts_processes
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.judging.keep_step import BY_TIME, STEP, Judged, decided_by_time, judge_step, least_gain
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.teachers.black_box import TEACHER_FILE

DEPLOYABLE = "model.onnx"
STUDENT = "student"
SETTLING = ("distil", "quantize", "pack")
"""Methods that choose the quantization themselves or leave the weights unchanged."""


def compress(job: Job) -> Metrics:
    """Apply one step of the recipe to the model before it.

    Returns the metrics of the model that the next step starts from.
    """
    if rounds_a_file(job):
        return quantize_file(job)
    workload, data = training_of(job.settings["workload"]), materialise(job.inputs["data"])
    names = components_in(job.inputs["previous"], workload)
    chosen = [name for name in names if job.settings["step"].component in {name, None}]
    for other in set(names) - set(chosen):
        shutil.copytree(job.inputs["previous"] / other, job.out / other)
    return _compress(job, workload, [_context_of(job, workload, data, name) for name in chosen])


def _context_of(job: Job, workload: Training, data: Path, name: str) -> StepContext:
    """Make the step context of one component, as if the component were a model of its own."""
    teacher, previous = job.inputs["teacher"], job.inputs["previous"]
    inputs = {**job.inputs, "teacher": teacher / name, "previous": previous / name}
    component = workload.component(name, data, teacher, previous)
    return StepContext(replace(job, inputs=inputs, out=job.out / name), data, component)


def _compress(job: Job, workload: Training, contexts: list[StepContext]) -> Metrics:
    """Change one component, or several components together."""
    try:
        metrics = _save_components(workload, contexts, _apply(job, workload, contexts))
        cost = _cost(contexts)
        gained = metrics[QUALITY] - verify_around(job.inputs["previous"]).metrics[QUALITY]
        judged = judge_step(-gained, cost, job.settings["keep_step_if"])
        by_time = decided_by_time(judged, -gained, cost, job.settings["keep_step_if"])
    except DivergedError as error:
        judged, by_time = Judged(kept=False, reason=f"dropped: {error}"), False
        cost, gained = {}, 0.0
    if not judged.kept:
        metrics = _save_components(workload, contexts, [_before(context.job, judged) for context in contexts])
    job.progress(judged.reason)
    write_json(job.out / STEP, asdict(judged) | {"gained": gained, "cost": cost})
    return metrics | {"kept": float(judged.kept), BY_TIME: float(by_time)}


def _before(job: Job, judged: Judged) -> Compressed:
    if (job.inputs["previous"] / TEACHER_FILE).exists():
        msg = f"{judged.reason}; a teacher known only as a file leaves no model to go on with: mend this step"
        raise StillhouseError(msg)
    return load_model(job.inputs["previous"])


def _apply(job: Job, workload: Training, contexts: list[StepContext]) -> list[Compressed]:
    return [_run_method(job, contexts[0])] if len(contexts) == 1 else quantize_jointly(workload, contexts)


def _run_method(job: Job, context: StepContext) -> Compressed:
    """Run the step.

    Before a step that changes layers, integer weights become floats; after it they are quantized again.
    """
    step = job.settings["step"]
    is_apart = step.method == "distil" and starts_processes(step.distillation.training)
    made = _run_apart(job) if is_apart else METHODS[step.method](context, step)
    if step.method in SETTLING or context.stored[1].quantization is None:
        return made
    return requantize(*made, context.stored[1])


def _run_apart(job: Job) -> Compressed:
    """Train the step's student in several processes. What they leave is this process's to judge."""
    run_in_processes(f"{__name__}:train_student", job, job.settings["step"].distillation.training)
    return load_model(job.scratch / STUDENT)


def train_student(job: Job) -> None:
    """Train the student of a `distil` step in one of several processes. The first one writes it."""
    workload, data = training_of(job.settings["workload"]), materialise(job.inputs["data"])
    context = _context_of(job, workload, data, job.settings["step"].component or workload.components[0])
    made = METHODS["distil"](context, job.settings["step"])
    if is_first():
        shutil.rmtree(job.scratch / STUDENT, ignore_errors=True)
        save_model(job.scratch / STUDENT, *made)


def _save_components(workload: Training, contexts: list[StepContext], made: list[Compressed]) -> Metrics:
    """Save each component. Returns the metrics of all components together."""
    for context, one in zip(contexts, made, strict=True):
        _save(context, *one)
    if len(contexts) == 1:
        quality = contexts[0].component.scorer("validation")(made[0][0])
    else:
        modules = {context.component.name: load_model(context.job.out)[0] for context in contexts}
        quality = workload.scorer(contexts[0].data, "validation")(modules)
    parts = [describe_model(context.job.out, *one) for context, one in zip(contexts, made, strict=True)]
    return {QUALITY: quality} | add_up(parts)


def _save(context: StepContext, module: nn.Module, architecture: Architecture) -> None:
    """Write the model as a checkpoint and as the file that would ship."""
    save_model(context.job.out, module, architecture)
    export_model(module, architecture, context.component.calibration(), context.job.out / DEPLOYABLE)


def _cost(contexts: list[StepContext]) -> dict[str, Any]:
    """Compare the files that would ship before and after the step."""
    job = contexts[0].job
    job.progress("comparing the exported files before and after the step")
    changes = [
        {"before": _file_before(context), "after": deployable(context.job.out, "model"), "input": _one_input(context)}
        for context in contexts
    ]
    request = {
        "changes": [{name: str(path) for name, path in change.items()} for change in changes],
        "least_gain": least_gain(job.settings["keep_step_if"]),
    }
    return measure("stillhouse.models.measurement.step_cost", request, job.scratch)


def _one_input(context: StepContext) -> Path:
    path = context.job.scratch / f"{context.job.out.name}.npy"
    np.save(path, context.component.calibration()[:1])
    return path


def _file_before(context: StepContext) -> Path:
    for shipped in context.job.inputs["previous"].glob("*.onnx*"):
        if shipped.suffix != WEIGHTS:
            return shipped  # plain, packed or adopted; none if the previous model is a teacher trained here
    exported = context.job.scratch / f"{context.job.out.name}.onnx"
    module, architecture = load_model(context.job.inputs["previous"])
    export_model(module, architecture, context.component.calibration(), exported)
    return exported
