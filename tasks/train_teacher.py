"""Stage `teacher`: train the model that is to be compressed, or adopt one known only as a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.black_box import FileModel
from models.checkpoint import Architecture, save_model
from models.compression.spaces import anchored, anchored_and_spelled
from models.errors import ModelError
from models.inputs.images import describe
from models.networks import OF_SPEECH
from models.training import fit
from models.ways import SPEECH
from models.workloads import WORKLOADS
from models.workloads.pairs import PairFeed, Spoken, load_pairs, load_spoken
from models.workloads.retrieval import Towers, architecture_of, scorer
from tasks.black_box import TEACHER_FILE, adopted
from tasks.job import Job, Metrics
from tasks.measure import added_up, describe_model, plan_of, report_model
from tasks.pull_data import materialise
from tasks.recipe_teacher import BlackBox, Network, Teacher, TowersTeacher


def train_teacher(job: Job) -> Metrics:
    """Make the recipe's teacher; returns its measures, of which a file known only from outside has fewer."""
    teacher: Teacher | BlackBox | TowersTeacher = job.settings["teacher"]
    data = materialise(job.inputs["data"])
    if isinstance(teacher, TowersTeacher):
        return train_towers(job, teacher, data)
    return _adopt(job, teacher, data) if isinstance(teacher, BlackBox) else _train(job, teacher, data)


def _adopt(job: Job, teacher: BlackBox, data: Path) -> Metrics:
    job.progress(f"adopting {teacher.onnx}")
    file = adopted(teacher, data, job.out / TEACHER_FILE)
    score = WORKLOADS[job.settings["workload"]].scorer(data, "search")
    return {"search_accuracy": score(FileModel(file)), "checkpoint_bytes": file.stat().st_size}


def _train(job: Job, teacher: Teacher, data: Path) -> Metrics:
    workload = WORKLOADS[job.settings["workload"]]
    training = teacher.training
    architecture = workload.architecture(data, teacher.network.name, teacher.network.arguments)
    plan = plan_of(training, job.settings["seed"])
    module = architecture.build_seeded(plan.seed)
    fit(
        module,
        workload.labelled_feed(
            data, plan.seed, augment=training.augment, resolutions=training.resolutions, erase=training.erase
        ),
        workload.labelled_objective(training.label_smoothing),
        plan,
        checkpoint=job.scratch / "training.safetensors",
        score=workload.scorer(data, "search"),
        watcher=job,
    )
    save_model(job.out, module, architecture)
    return report_model(job.out, module, architecture, workload.scorer(data, "search"))


def train_towers(job: Job, teacher: TowersTeacher, data: Path) -> Metrics:
    """Train all towers in one space; each is kept as a model of its own."""
    plan = plan_of(teacher.training, job.settings["seed"])
    spoken = load_spoken(data, "train") if SPEECH in teacher.towers else None
    of = _architectures(data, teacher, spoken)
    built = {name: each.build_seeded(plan.seed) for name, each in of.items()}
    feed = _pair_feed(data, teacher, spoken, built, plan.seed)
    towers = Towers(built, len(describe(data)["labels"]), int(of["text"].arguments["dimension"]), plan.seed)
    score = scorer(data, "search")
    fit(
        towers,
        feed,
        anchored_and_spelled if spoken else anchored,
        plan,
        checkpoint=job.scratch / "training.safetensors",
        score=lambda _: score(built),
        watcher=job,
    )
    for name, each in of.items():
        save_model(job.out / name, built[name], each)
    parts = [describe_model(job.out / name, built[name], each) for name, each in of.items()]
    return {"search_accuracy": score(built)} | added_up(parts)


def _architectures(data: Path, teacher: TowersTeacher, spoken: Spoken | None) -> dict[str, Architecture]:
    """Describe the towers; one that spells is told how many letters the data has."""
    networks = {str(name): each for name, each in teacher.towers.items()}
    if spoken is not None:
        networks[SPEECH] = _with_letters(networks[SPEECH], spoken.letters)
    return {name: architecture_of(data, each.name, each.arguments) for name, each in networks.items()}


def _with_letters(speech: Network, letters: int) -> Network:
    if speech.name not in OF_SPEECH:
        msg = f"a {speech.name} cannot learn to spell; name {OF_SPEECH[0]} in the recipe's teacher.towers.speech"
        raise ModelError(msg)
    return speech.model_copy(update={"arguments": {**speech.arguments, "letters": letters}})


def _pair_feed(
    data: Path, teacher: TowersTeacher, spoken: Spoken | None, built: Mapping[str, Any], seed: int
) -> PairFeed:
    frames = built[SPEECH].frames if spoken is not None else 0
    training = teacher.training
    return PairFeed(load_pairs(data, "train"), spoken, seed, training.augment, training.resolutions, frames)
