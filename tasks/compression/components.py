"""The components of a model: their folders in a stage's output, and the stage `join` that puts them into one model."""

import shutil
from pathlib import Path

from stillhouse.models.training.checkpoint import load_model
from stillhouse.models.workloads.training_base import Training, training_of
from stillhouse.tasks.compression.measure import QUALITY, add_up, describe_model
from stillhouse.tasks.pipeline.job import END, Job, Metrics
from stillhouse.tasks.stages.pull import materialise


def components_in(folder: Path, workload: Training) -> list[str]:
    """Name the components of a model, in the workload's order."""
    return [name for name in workload.components if (folder / name).is_dir()]


def join(job: Job) -> Metrics:
    """Copy each component from the stage that changed it last. Returns the metrics of the whole model.

    A component is scored together with the others of its folder, so one score is that of the whole model.
    """
    workload, previous = training_of(job.settings["workload"]), job.inputs["previous"]
    names = components_in(previous, workload)
    for name in names:
        shutil.copytree(job.inputs.get(f"{END}{name}", previous) / name, job.out / name)
    models = {name: load_model(job.out / name) for name in names}
    first = workload.component(names[0], materialise(job.inputs["data"]), job.inputs["teacher"], job.out)
    quality = first.scorer("validation")(models[names[0]][0])
    job.progress(f"joined {', '.join(names)}: {quality:.2%} on the validation split")
    return {QUALITY: quality} | add_up([describe_model(job.out / name, *models[name]) for name in names])
