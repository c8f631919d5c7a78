"""Method `quantize` on a teacher known only as an ONNX file: ONNX Runtime's quantizer rounds it after calibration.

Nothing is trained, because there is no module to train.
"""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stillhouse.models.onnx.export import export_file
from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.training_base import training_of
from stillhouse.tasks.artifacts.artifact import verify_around, write_json
from stillhouse.tasks.compression.measure import QUALITY
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.judging.keep_step import BY_TIME, STEP, decided_by_time, judge_step, least_gain
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.teachers.black_box import TEACHER_FILE


def rounds_a_file(job: Job) -> bool:
    """Tell whether the previous model is known only as a file, and the step is to quantize that file."""
    return (job.inputs["previous"] / ALONE / TEACHER_FILE).exists() and job.settings["step"].method == "quantize"


def quantize_file(job: Job) -> Metrics:
    """Write the integer form of the file, or the file itself if the step is dropped. Returns its quality and bytes."""
    workload, data = training_of(job.settings["workload"]), materialise(job.inputs["data"])
    before, folder = job.inputs["previous"] / ALONE, job.out / ALONE
    folder.mkdir()
    component = workload.component(ALONE, data, job.inputs["teacher"], job.inputs["previous"])
    step, calibration, keep_if = job.settings["step"], component.calibration(), job.settings["keep_step_if"]
    job.progress("calibrating the file")
    how = {"activations": step.activations, "calibration": step.calibration, "keep_float": []}
    export_file(before / TEACHER_FILE, how, calibration, folder / TEACHER_FILE)
    quality = workload.scorer(data, "validation")({ALONE: FileModel(folder / TEACHER_FILE)})
    whole = verify_around(before).metrics[QUALITY]
    cost = _cost(job, before / TEACHER_FILE, folder / TEACHER_FILE, calibration[:1])
    judged = judge_step(whole - quality, cost, keep_if)
    if not judged.kept:
        shutil.copyfile(before / TEACHER_FILE, folder / TEACHER_FILE)
    job.progress(judged.reason)
    write_json(job.out / STEP, asdict(judged) | {"gained": quality - whole, "cost": cost})
    by_time = decided_by_time(judged, whole - quality, cost, keep_if)
    size = float((folder / TEACHER_FILE).stat().st_size)
    kept = {"kept": float(judged.kept), BY_TIME: float(by_time)}
    return {QUALITY: quality if judged.kept else whole, "checkpoint_bytes": size} | kept


def _cost(job: Job, before: Path, after: Path, one: np.ndarray) -> dict[str, object]:
    raw = job.scratch / "one.npy"
    np.save(raw, one)
    change = {"before": str(before), "after": str(after), "input": str(raw)}
    request = {"changes": [change], "least_gain": least_gain(job.settings["keep_step_if"])}
    return dict(measure("stillhouse.models.measurement.step_cost", request, job.scratch))
