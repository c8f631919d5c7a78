"""Stage `export`: the teacher and the student as the ONNX files that are judged and that ship.

Beside each file stand the classes that the training-time module gives for the gate role, so that the judge can
say whether export and quantization changed any answer.
"""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.black_box import FileModel
from models.checkpoint import load_model
from models.export import export_model
from models.packing import deployable
from models.workloads import WORKLOADS
from tasks.artifact import write_json
from tasks.black_box import TEACHER_FILE
from tasks.job import Job, Metrics
from tasks.pull_data import materialise


def export(job: Job) -> Metrics:
    """Write teacher.onnx and student.onnx; returns their bytes."""
    data = materialise(job.inputs["data"])
    workload = WORKLOADS[job.settings["workload"]]
    calibration_NCHW = workload.calibration(data)
    metrics: Metrics = {}
    for name in ("teacher", "student"):
        job.progress(f"exporting the {name}")
        module = _module(job.inputs[name])
        write_json(job.out / f"{name}.answers.json", workload.answers(module, data, "gate").tolist())
        _export(job.inputs[name], calibration_NCHW, job.out / f"{name}.onnx")
        metrics[f"{name}_bytes"] = deployable(job.out, name).stat().st_size
    return metrics


def _module(folder: Path) -> nn.Module:
    file = folder / TEACHER_FILE
    return FileModel(file) if file.exists() else load_model(folder)[0]


def _export(folder: Path, calibration_NCHW: NDArray[np.uint8], path: Path) -> None:
    """Write the file of a model, as it is where it came as a file."""
    if (folder / TEACHER_FILE).exists():
        shutil.copyfile(folder / TEACHER_FILE, path)
    else:
        export_model(*load_model(folder), calibration_NCHW, path)
