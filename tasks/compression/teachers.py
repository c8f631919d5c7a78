"""The teachers of a distillation: the recipe's teacher, run by torch or from its file, and extra teacher files.

Every output is cached for all steps and all nights, under the digest of the teacher and of the code that ran it.
"""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from stillhouse.models.distillation.ctc import teacher_letters, teacher_readings
from stillhouse.models.distillation.features import layer_features
from stillhouse.models.distillation.logit import mean_logits, teacher_logits
from stillhouse.models.distillation.teacher_cache import Ask, cache_outputs
from stillhouse.models.networks.speech import CtcEncoder
from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.training.checkpoint import load_model
from stillhouse.tasks.artifacts.artifact import verify_around
from stillhouse.tasks.artifacts.source_digest import code_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.distillation import CtcDistillation, Distillation, LogitDistillation
from stillhouse.tasks.recipe.teacher import BlackBox
from stillhouse.tasks.teachers.black_box import TEACHER_FILE, adopt_file, identity

ASKING = (
    "stillhouse.models.onnx.import_teacher",
    "stillhouse.models.training.checkpoint",
    "stillhouse.models.distillation.logit",
    "stillhouse.models.distillation.features",
    "stillhouse.models.distillation.ctc",
)
"""Modules that determine a teacher's outputs. All our modules that they import count too."""


def make_asker(job: Job, data: Path, distillation: Distillation) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function from raw inputs (N, ...) to teacher outputs: logits or vectors (N, K), then further tensors.

    Raises:
        StillhouseError: the recipe asks for an inner layer of a file, or an extra teacher's file has the wrong digest.
        ModelError: an extra teacher cannot process this data.
    """
    teacher, folder = job.inputs["teacher"], _answers(job)
    further = distillation.extra_teachers if isinstance(distillation, LogitDistillation) else ()
    questions = [_logits(teacher, folder, [_further(job, data, box) for box in further])]
    if isinstance(distillation, LogitDistillation) and distillation.features is not None:
        questions.append(_features(teacher, folder, distillation.features.teacher))
    if isinstance(distillation, CtcDistillation):
        questions.append(_letters(teacher, folder))
    return lambda images_NCHW: tuple(ask(images_NCHW) for ask in questions)


def asker_of(job: Job, question: Ask, precision: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a component's own question. The cache keeps its answers by teacher, the question's code and precision."""
    teacher = verify_around(job.inputs["teacher"]).digest
    folder = job.shared / "teacher_answers" / teacher / f"{code_digest(question.__module__)[:16]}_{precision}"
    ask = cache_outputs(question, folder)
    return lambda inputs: (ask(inputs),)


def _logits(teacher: Path, folder: Path, further: list[Ask]) -> Ask:
    file = teacher / TEACHER_FILE
    first = cache_outputs(FileModel(file) if file.exists() else _of_module(teacher), folder)
    if not further:
        return first
    return lambda images_NCHW: mean_logits([ask(images_NCHW) for ask in (first, *further)])


def _features(teacher: Path, folder: Path, layer: str) -> Ask:
    if (teacher / TEACHER_FILE).exists():
        msg = f"a teacher known only as an ONNX file has no layer {layer!r} to ask; remove features from the recipe"
        raise StillhouseError(msg)
    return cache_outputs(
        lambda images_NCHW: layer_features(load_model(teacher)[0], layer, images_NCHW),
        folder,
        f"features_NC of {layer}",
    )


def _letters(teacher: Path, folder: Path) -> Ask:
    return cache_outputs(lambda samples_NT: teacher_letters(_speller(teacher), samples_NT), folder, "letters_NFV")


def reading(job: Job) -> Ask:
    """Return a function from written captions, encoded as if heard (N, 2, frames), to the teacher's vectors (N, D).

    Raises:
        StillhouseError: the teacher is not a CTC encoder.
    """
    teacher = job.inputs["teacher"]
    return cache_outputs(lambda heard_N2F: teacher_readings(_speller(teacher), heard_N2F), _answers(job), "read_ND")


def _answers(job: Job) -> Path:
    return _answers_of(job, verify_around(job.inputs["teacher"]).digest)


def _answers_of(job: Job, teacher: str) -> Path:
    return job.shared / "teacher_answers" / teacher / code_digest(*ASKING)[:16]


def _speller(teacher: Path) -> CtcEncoder:
    module = load_model(teacher)[0]
    if not isinstance(module, CtcEncoder):
        msg = "this teacher does not spell, so it cannot be asked for letters; set distillation kind embedding"
        raise StillhouseError(msg)
    return module


def _further(job: Job, data: Path, box: BlackBox) -> Ask:
    file = adopt_file(box, data, job.scratch / f"{identity(box)}.onnx", job.settings["workload"])
    return cache_outputs(FileModel(file), _answers_of(job, identity(box)))


def _of_module(teacher: Path) -> Ask:
    return lambda images_NCHW: teacher_logits(load_model(teacher)[0], images_NCHW)
