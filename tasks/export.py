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
from models.towers import files_of, write_about
from models.ways import towers_in
from models.workloads import WORKLOADS
from models.workloads.retrieval import Tower, vectors
from tasks.artifact import verify, write_json
from tasks.black_box import TEACHER_FILE
from tasks.job import Job, Metrics
from tasks.pull_data import materialise


def export(job: Job) -> Metrics:
    """Write what ships of the teacher and of the student; returns their bytes."""
    data = materialise(job.inputs["data"])
    return _export_towers(job, data) if is_towers(job.inputs["student"]) else _export_network(job, data)


def is_towers(folder: Path) -> bool:
    """Tell a folder of towers from a single model."""
    return bool(towers_in(folder))


def _export_towers(job: Job, data: Path) -> Metrics:
    """Write folders of towers; beside each tower's file stand the vectors that the training-time tower gives."""
    space = verify(job.inputs["teacher"]).digest
    metrics: Metrics = {}
    for model in ("teacher", "student"):
        names = towers_in(job.inputs[model])
        for name in names:
            job.progress(f"exporting the {model}'s tower for {name}")
            tower = Tower(name, job.inputs["teacher"], job.inputs[model])
            folder = job.out / model
            folder.mkdir(exist_ok=True)
            np.save(folder / f"{name}.npy", vectors(load_model(job.inputs[model] / name)[0], tower.parity_inputs(data)))
            _export(job.inputs[model] / name, tower.calibration(data), folder / f"{name}.onnx")
        write_about(folder, space, names)
        metrics[f"{model}_bytes"] = sum(path.stat().st_size for path in files_of(folder))
    return metrics


def _export_network(job: Job, data: Path) -> Metrics:
    """Write teacher.onnx and student.onnx."""
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


def _export(folder: Path, calibration: NDArray[np.generic], path: Path) -> None:
    """Write the file of a model, as it is where it came as a file."""
    if (folder / TEACHER_FILE).exists():
        shutil.copyfile(folder / TEACHER_FILE, path)
    else:
        export_model(*load_model(folder), calibration, path)
