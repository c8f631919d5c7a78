"""Stage `teacher`: train the model that is to be compressed."""

from models.checkpoint import save_model
from models.training import fit
from models.workloads import WORKLOADS
from tasks.job import Job, Metrics
from tasks.measure import plan_of, report_model
from tasks.pull_data import materialise
from tasks.recipe import Teacher


def train_teacher(job: Job) -> Metrics:
    """Train the recipe's teacher on the training role; returns its measures."""
    teacher: Teacher = job.settings["teacher"]
    workload = WORKLOADS[job.settings["workload"]]
    data = materialise(job.inputs["data"])
    architecture = workload.architecture(data, teacher.network.name, teacher.network.arguments)
    plan = plan_of(teacher.training, job.settings["seed"])
    module = architecture.build_seeded(plan.seed)
    fit(
        module,
        workload.labelled_feed(
            data, plan.seed, augment=teacher.training.augment, resolutions=teacher.training.resolutions
        ),
        workload.labelled_objective(teacher.training.label_smoothing),
        plan,
        checkpoint=job.scratch / "training.safetensors",
        score=workload.scorer(data, "search"),
        watcher=job,
    )
    save_model(job.out, module, architecture)
    return report_model(job.out, module, architecture, workload.scorer(data, "search"))
