"""Stage `compress`, one per step of the recipe: load, apply, recover, save, the same for every method."""

from models.checkpoint import save_model
from models.workloads import WORKLOADS
from tasks.job import Job, Metrics
from tasks.measure import report_model
from tasks.methods import METHODS
from tasks.methods.bench import Bench
from tasks.pull_data import materialise
from tasks.recipe_steps import Step


def compress(job: Job) -> Metrics:
    """Apply one step of the recipe to the model before it; returns the new model's measures."""
    step: Step = job.settings["step"]
    workload = WORKLOADS[job.settings["workload"]]
    bench = Bench(job, materialise(job.inputs["data"]), workload)
    module, architecture = METHODS[step.method](bench, step)
    save_model(job.out, module, architecture)
    return report_model(job.out, module, architecture, workload.scorer(bench.data, "search"))
