"""Stage `compress`, one per step of the recipe: load, apply, recover, judge, save, the same for every method.

A step that turns out worthless (see `tasks.worth`) or whose training diverged is dropped: the model before it goes on.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import load_model, save_model
from models.compression.requantize import requantize
from models.errors import DivergedError
from models.export import export_model
from models.packing import deployable
from models.ways import towers_in
from models.workloads import WORKLOADS
from models.workloads.retrieval import Tower, scorer
from tasks.artifact import verify_around, write_json
from tasks.black_box import TEACHER_FILE
from tasks.clean_process import measure
from tasks.errors import StillhouseError
from tasks.job import Job, Metrics
from tasks.measure import added_up, report_model
from tasks.methods import METHODS
from tasks.methods.bench import Bench, Compressed
from tasks.methods.quantize import quantize_jointly
from tasks.pull_data import materialise
from tasks.worth import BY_TIME, STEP, Judged, judge_step, least_gain

DEPLOYABLE = "model.onnx"
QUALITY = "search_accuracy"
AS_FAST = {"value": 1.0, "interval": (1.0, 1.0)}
SETTLING = ("distil", "quantize", "pack")
"""Methods that decide about integers themselves, or leave the weights alone."""


def compress(job: Job) -> Metrics:
    """Apply one step of the recipe to the model before it; returns the measures of the model that goes on."""
    data, tower = materialise(job.inputs["data"]), job.settings["step"].tower
    towers = towers_in(job.inputs["previous"])
    if not towers:
        return _compress(job, [Bench(job, data, WORKLOADS[job.settings["workload"]])])
    for other in set(towers) - {tower or other for other in towers}:
        shutil.copytree(job.inputs["previous"] / other, job.out / other)
    return _compress(job, [_bench_of(job, data, name) for name in towers if tower in {name, None}])


def _bench_of(job: Job, data: Path, name: str) -> Bench:
    """Give a tower a bench as if it were a model of its own."""
    teacher, previous = job.inputs["teacher"], job.inputs["previous"]
    inputs = {**job.inputs, "teacher": teacher / name, "previous": previous / name}
    return Bench(replace(job, inputs=inputs, out=job.out / name), data, Tower(name, teacher, previous))


def _compress(job: Job, benches: list[Bench]) -> Metrics:
    """Change one model, or several towers together."""
    try:
        metrics = _saved(benches, _apply(benches))
        cost = _cost(benches)
        gained = metrics[QUALITY] - verify_around(job.inputs["previous"]).metrics[QUALITY]
        judged = judge_step(-gained, cost, job.settings["worth"])
        untimed = judge_step(-gained, cost | {"speedup": cost["speedup"] | AS_FAST}, job.settings["worth"])
    except DivergedError as error:
        judged = untimed = Judged(kept=False, reason=f"dropped: {error}")
        cost, gained = {}, 0.0
    if not judged.kept:
        metrics = _saved(benches, [_before(bench.job, judged) for bench in benches])
    job.progress(judged.reason)
    write_json(job.out / STEP, asdict(judged) | {"gained": gained, "cost": cost})
    return metrics | {"kept": float(judged.kept), BY_TIME: float(judged.kept != untimed.kept)}


def _before(job: Job, judged: Judged) -> Compressed:
    if (job.inputs["previous"] / TEACHER_FILE).exists():
        msg = f"{judged.reason}; a teacher known only as a file leaves no model to go on with: mend this step"
        raise StillhouseError(msg)
    return load_model(job.inputs["previous"])


def _apply(benches: list[Bench]) -> list[Compressed]:
    if len(benches) == 1:
        return [_changed(benches[0])]
    return quantize_jointly({bench.workload.name: bench for bench in benches if isinstance(bench.workload, Tower)})


def _changed(bench: Bench) -> Compressed:
    """Do the step; integers are opened before a step that changes layers and closed again after it."""
    step = bench.job.settings["step"]
    made = METHODS[step.method](bench, step)
    if step.method in SETTLING or bench.stored[1].quantization is None:
        return made
    return requantize(*made, bench.stored[1])


def _saved(benches: list[Bench], made: list[Compressed]) -> Metrics:
    """Save each; returns the measures of all together."""
    parts = [_save(bench, one) for bench, one in zip(benches, made, strict=True)]
    if len(parts) == 1:
        return parts[0]
    towers = {bench.job.out.name: load_model(bench.job.out)[0] for bench in benches}
    return added_up(parts) | {QUALITY: scorer(benches[0].data, "search")(towers)}


def _save(bench: Bench, made: Compressed) -> Metrics:
    """Leave the model as a checkpoint and as the file that would ship; returns its measures."""
    module, architecture = made
    save_model(bench.job.out, module, architecture)
    export_model(module, architecture, bench.workload.calibration(bench.data), bench.job.out / DEPLOYABLE)
    return report_model(bench.job.out, module, architecture, bench.workload.scorer(bench.data, "search"))


def _cost(benches: list[Bench]) -> dict[str, Any]:
    """Compare the files that would ship before and after the step."""
    job = benches[0].job
    job.progress("comparing the exported files before and after the step")
    changes = [
        {"before": _file_before(bench), "after": deployable(bench.job.out, "model"), "input": _one_input(bench)}
        for bench in benches
    ]
    request = {
        "changes": [{name: str(path) for name, path in change.items()} for change in changes],
        "least_gain": least_gain(job.settings["worth"]),
    }
    return measure("models.step_cost", request, job.scratch)


def _one_input(bench: Bench) -> Path:
    path = bench.job.scratch / f"{bench.job.out.name}.npy"
    np.save(path, bench.workload.calibration(bench.data)[:1])
    return path


def _file_before(bench: Bench) -> Path:
    for shipped in bench.job.inputs["previous"].glob("*.onnx*"):
        return shipped  # plain, packed or adopted: there is one, or none where a trained teacher is before
    exported = bench.job.scratch / f"{bench.job.out.name}.onnx"
    module, architecture = load_model(bench.job.inputs["previous"])
    export_model(module, architecture, bench.workload.calibration(bench.data), exported)
    return exported
