"""Stage `export`: the teacher and the student as the ONNX files that are judged and that ship.

Beside each file stand the classes that the training-time module gives for the gate role, so that the judge can
say whether export and quantization changed any answer.
"""

from models.checkpoint import load_model
from models.export import export_model
from models.workloads import WORKLOADS
from tasks.artifact import write_json
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
        module, architecture = load_model(job.inputs[name])
        write_json(job.out / f"{name}.answers.json", workload.answers(module, data, "gate").tolist())
        path = job.out / f"{name}.onnx"
        export_model(module, architecture, calibration_NCHW, path)
        metrics[f"{name}_bytes"] = path.stat().st_size
    return metrics
