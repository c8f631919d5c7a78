"""Stage `teacher`: train the model to compress, or adopt a model that is given only as a file."""

from pathlib import Path

from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.training.checkpoint import save_model
from stillhouse.models.training.loop import fit
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.training_base import training_of
from stillhouse.tasks.compression.measure import QUALITY, add_up, describe_model, train_config_of
from stillhouse.tasks.distributed.launch import run_in_processes, starts_processes
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.recipe.teacher import BlackBox, Folder, Teacher
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.teachers.black_box import TEACHER_FILE, adopt_file
from stillhouse.tasks.teachers.folder import adopt_folder, expect_adopting

ITSELF = "stillhouse.tasks.stages.teacher:train_teacher"


def train_teacher(job: Job) -> Metrics:
    """Make the recipe's teacher. Returns its metrics; a teacher given as a file has fewer of them."""
    teacher, data = job.settings["teacher"], materialise(job.inputs["data"])
    if isinstance(teacher, BlackBox):
        return _adopt(job, teacher, data)
    if isinstance(teacher, Folder):
        return _read(job, teacher, data)
    if starts_processes(teacher.training):
        return dict(run_in_processes(ITSELF, job, teacher.training))
    return train(job, teacher, data)


def _adopt(job: Job, teacher: BlackBox, data: Path) -> Metrics:
    job.progress(f"adopting {teacher.onnx}")
    folder = job.out / ALONE
    folder.mkdir()
    file = adopt_file(teacher, data, folder / TEACHER_FILE, job.settings["workload"])
    score = training_of(job.settings["workload"]).scorer(data, "validation")
    return {QUALITY: score({ALONE: FileModel(file)}), "checkpoint_bytes": file.stat().st_size}


def _read(job: Job, teacher: Folder, data: Path) -> Metrics:
    job.progress(f"reading {teacher.folder}")
    adopted, folder = adopt_folder(teacher, job.settings["workload"], data), job.out / ALONE
    for note in adopted.notes:
        job.progress(note)
    save_model(folder, adopted.module, adopted.architecture)
    for name, content in adopted.files.items():
        (folder / name).write_bytes(content)
    quality = expect_adopting(job.settings["workload"]).quality(data, job.out, adopted.module)
    return {QUALITY: quality} | add_up([describe_model(folder, adopted.module, adopted.architecture)])


def train(job: Job, teacher: Teacher, data: Path) -> Metrics:
    """Train all components together, and save each as a model of its own."""
    workload = training_of(job.settings["workload"])
    plan = train_config_of(teacher.training, job.settings["seed"])
    architectures = workload.architectures(data, teacher.networks)
    built = {name: (each.build_seeded(plan.seed), each) for name, each in architectures.items()}
    modules = {name: module for name, (module, _) in built.items()}
    training = workload.teacher_training(data, built, teacher.training, plan.seed)
    score = workload.scorer(data, "validation")
    fit(
        training.learner,
        training.feed,
        training.objective,
        plan,
        checkpoint=job.scratch / "training.safetensors",
        score=lambda _: score(modules),
        watcher=job,
    )
    settled = training.settle(built, job)
    for name, (module, architecture) in settled.items():
        save_model(job.out / name, module, architecture)
    quality = score({name: module for name, (module, _) in settled.items()})
    return {QUALITY: quality} | add_up([describe_model(job.out / name, *each) for name, each in settled.items()])
