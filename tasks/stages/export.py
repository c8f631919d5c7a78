"""Stage `export`: write the teacher and the student as the bundles that are judged and that ship.

The stage also writes the outputs of the training-time modules on the gate split. The stage `evaluate` compares them
with the outputs of the exported files, to find changes by export and quantization.
"""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stillhouse.models.data.description import describe
from stillhouse.models.onnx.export import export_model
from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.bundle import open_bundle, write_bundle
from stillhouse.models.runtime.weights import files_of
from stillhouse.models.training.checkpoint import load_model
from stillhouse.models.workloads.registry import JUDGES
from stillhouse.models.workloads.training_base import Training, training_of
from stillhouse.models.workloads.training_optional import adopting, judging
from stillhouse.tasks.artifacts.artifact import verify
from stillhouse.tasks.artifacts.student_file import MODELS, REFERENCES
from stillhouse.tasks.compression.components import components_in
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.teachers.black_box import TEACHER_FILE


def export(job: Job) -> Metrics:
    """Write the shipped bundles of the teacher and of the student. Returns their sizes in bytes."""
    data, workload = materialise(job.inputs["data"]), training_of(job.settings["workload"])
    licence = licence_of(data, job.settings["weights_licence"])
    about = {"space": verify(job.inputs["teacher"]).digest, "licence": licence}
    metrics: Metrics = {}
    for model in MODELS:
        folder = job.out / model
        files = {name: _export(job, workload, data, model, name) for name in _names(job, workload, model)}
        write_bundle(folder, job.settings["workload"], files, **workload.about(data, job.inputs[model]), **about)
        metrics[f"{model}_bytes"] = open_bundle(folder).size
    _write_judges(job)
    return metrics


def _write_judges(job: Job) -> None:
    """Write the networks that judge the models, if the workload has any. They do not ship."""
    judges = judging(job.settings["workload"])
    if judges:
        folder = job.out / REFERENCES / JUDGES
        folder.mkdir()
        judges.write_judges(job.inputs["teacher"], folder)


def licence_of(data: Path, weights: str) -> dict[str, str]:
    """Return the licences of the training data and of the teacher's weights."""
    return {"data": str(describe(data).get("licence", "unknown")), "weights": weights}


def _names(job: Job, workload: Training, model: str) -> list[str]:
    return components_in(job.inputs[model], workload)


def _export(job: Job, workload: Training, data: Path, model: str, name: str) -> list[Path]:
    """Write one component, and write the outputs of its training-time module to the references.

    Returns the component's files. The exported one is the first.
    """
    job.progress(f"exporting the {model}: {name}")
    made, references = job.inputs[model] / name, job.out / REFERENCES / model
    component = workload.component(name, data, job.inputs["teacher"], job.inputs[model])
    for folder in (job.out / model, references):
        folder.mkdir(parents=True, exist_ok=True)
    np.save(references / f"{name}.npy", component.reference(_module(made)))
    _write(made, component.calibration(), job.out / model / f"{name}.onnx")
    return [*files_of(deployable(job.out / model, name)), *_copy_beside(job, model, name)]


def _copy_beside(job: Job, model: str, name: str) -> list[Path]:
    """Copy the files that ship beside a component, such as a tokenizer."""
    adopts = adopting(job.settings["workload"])
    beside = adopts.files(name, job.inputs["teacher"]) if adopts else []
    return [Path(shutil.copyfile(path, job.out / model / path.name)) for path in beside]


def _module(folder: Path) -> nn.Module:
    file = folder / TEACHER_FILE
    return FileModel(file) if file.exists() else load_model(folder)[0]


def _write(folder: Path, calibration: NDArray[np.generic], path: Path) -> None:
    """Write the file of a model. If the model came as a file, copy that file unchanged."""
    if (folder / TEACHER_FILE).exists():
        shutil.copyfile(folder / TEACHER_FILE, path)
    else:
        export_model(*load_model(folder), calibration, path)
