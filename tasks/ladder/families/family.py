"""What a user's model is to the ladder: its workload, its section `teacher`, and its rungs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.models.data.description import describe
from stillhouse.models.inspection.labels import labels_of
from stillhouse.models.inspection.source import Source
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.artifacts.model_folder import folder_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.ladder.families.line_rungs import rungs_for_lines
from stillhouse.tasks.ladder.families.picture_rungs import Pictures, rungs_for_file, rungs_for_module
from stillhouse.tasks.ladder.families.rungs import Rung, learn_classes, learn_vectors, rungs_for_text
from stillhouse.tasks.ladder.families.sound_rungs import Sounds, rungs_for_sound, rungs_for_sound_file
from stillhouse.tasks.reporting.quantities import percent
from stillhouse.tasks.targets.source import Form
from stillhouse.tasks.targets.targets import expect_taken


@dataclass(frozen=True)
class Family:
    """One kind of model that the ladder can compress."""

    workload: str
    teacher: Mapping[str, Any]
    """The recipe's section `teacher`."""
    rungs: tuple[Rung, ...]
    basis: str
    """What the quality is measured against, for the verdict."""
    assumed: tuple[str, ...]
    """What was not told and is taken to be so."""


def family_of(source: Source, task: str, data: Path) -> Family:
    """Find the family of a model.

    Args:
        source: the model.
        task: what it is for.
        data: folder of the imported dataset.

    Raises:
        StillhouseError: the model is of another format, or does not fit the data.
    """
    return FAMILIES[task](source, data)


def expect_ladder(task: str) -> None:
    """Expect a task to have a ladder.

    Raises:
        StillhouseError: it has none.
    """
    if task not in FAMILIES:
        msg = f"compress has no ladder for {task} yet; it has {', '.join(FAMILIES)}; write a recipe instead"
        raise StillhouseError(msg)


def expect_target(target: str, task: str) -> None:
    """Expect a target to take a student of a task. It reads neither the model nor the data.

    Raises:
        StillhouseError: it takes none. The message names the targets that do.
    """
    expect_taken(target, *STUDENTS[task])


def _text_embedding(source: Source, _data: Path) -> Family:
    from stillhouse.models.families.bert import USE
    from stillhouse.models.families.bert_folder import expect_bert_like

    expect_bert_like(source, USE)
    return Family(
        "text_embedding",
        _folder(source),
        tuple(rungs_for_text(_depth(source), learn_vectors)),
        "the teacher's five nearest neighbours (there are no labels: this is agreement with the teacher)",
        ("quality is the share of the teacher's five nearest texts that the student finds too",),
    )


def _text_classification(source: Source, data: Path) -> Family:
    from stillhouse.models.families.bert_classifier import agree_on_labels

    assumed = agree_on_labels(source, data)[1]
    learn = learn_classes(int(describe(data)["splits"]["train"]["count"]))
    rungs = tuple(rungs_for_text(_depth(source), learn))
    return Family("text_classification", _folder(source), rungs, "the teacher's accuracy", tuple(assumed))


def _folder(source: Source) -> dict[str, str]:
    return {"folder": str(source.path.resolve()), "sha256": folder_digest(source.path)}


def _depth(source: Source) -> int:
    return int(source.config.get("num_hidden_layers") or source.config.get("n_layers") or 1)


def _image_classification(source: Source, data: Path) -> Family:
    described = describe(data)
    channels, *sides = described["image_shape"]
    train = int(described["splits"]["train"]["count"])
    pictures = Pictures(channels, min(sides), len(described["labels"]), train)
    if source.format == "onnx":
        return _of_file(source, data, "image_classification", rungs_for_file(pictures))
    return _of_folder(source, pictures, described["labels"])


def _of_file(source: Source, data: Path, workload: str, rungs: Sequence[Rung]) -> Family:
    from stillhouse.tasks.ladder.families.black_box import find_form

    form = find_form(source.path, data)
    teacher = {"onnx": str(source.path.resolve()), "sha256": file_digest(source.path), **form.section}
    basis = f"the teacher's accuracy, which is {percent(form.accuracy)} on the calibration split"
    return Family(workload, teacher, tuple(rungs), basis, form.assumed)


def _of_folder(source: Source, pictures: Pictures, labels: Sequence[str]) -> Family:
    if source.format != "transformers":
        msg = f"{source.path} is a {source.format} model, for which there is no ladder yet; export it to ONNX"
        raise StillhouseError(msg)
    rungs = tuple(rungs_for_module(pictures))
    return Family("image_classification", _folder(source), rungs, "the teacher's accuracy", _agreed(source, labels))


def _agreed(source: Source, labels: Sequence[str]) -> tuple[str, ...]:
    """Compare the labels that a folder names with those of the data. Returns what is assumed."""
    from stillhouse.models.families.labels import order_labels

    return tuple(order_labels(source.path, labels_of(source), labels)[1]) if source.config.get("id2label") else ()


def _audio_classification(source: Source, data: Path) -> Family:
    from stillhouse.models.families.audio_classifier import SPECTROGRAMS, blocks_of, refuse_others

    if source.format != "onnx":
        refuse_others(source)
    described = describe(data)
    sounds = Sounds(len(described["labels"]), int(described["splits"]["train"]["count"]))
    if source.format == "onnx":
        return _of_file(source, data, "audio_classification", rungs_for_sound_file(sounds))
    listens = source.config.get("model_type") != SPECTROGRAMS
    rungs = tuple(rungs_for_sound(sounds, blocks_of(source), listens=listens))
    assumed = _agreed(source, described["labels"])
    return Family("audio_classification", _folder(source), rungs, "the teacher's accuracy", assumed)


def _text_recognition(source: Source, data: Path) -> Family:
    from stillhouse.tasks.ladder.families.recogniser import find_line_form, line_data, say_form

    asked = find_line_form(source.path, data)
    teacher = {"onnx": str(source.path.resolve()), "sha256": file_digest(source.path), **asked.section}
    basis = "the teacher's quality, which is 1 minus the share of wrong characters"
    rungs = tuple(rungs_for_lines(line_data(data, asked.frames)))
    return Family("text_recognition", teacher, rungs, basis, say_form(source.path, data, asked))


FAMILIES: dict[str, Callable[[Source, Path], Family]] = {
    "audio-classification": _audio_classification,
    "image-classification": _image_classification,
    "text-classification": _text_classification,
    "text-embedding": _text_embedding,
    "text-recognition": _text_recognition,
}
"""Task -> function of its family."""
STUDENTS: dict[str, tuple[str, tuple[Form, ...]]] = {
    "audio-classification": ("audio_classification", ("file", "adopted", "named")),
    "image-classification": ("image_classification", ("file", "adopted", "named")),
    "text-classification": ("text_classification", ("adopted",)),
    "text-embedding": ("text_embedding", ("adopted",)),
    "text-recognition": ("text_recognition", ("file", "named")),
}
"""Task -> its workload, and of what the students of its rungs are made."""
