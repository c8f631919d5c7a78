"""The black-box teacher of a recipe: find its file, check its digest, and adapt it to the pipeline."""

from pathlib import Path

from stillhouse.models.data.contents import load_contents
from stillhouse.models.data.description import describe
from stillhouse.models.onnx.import_teacher import adopt
from stillhouse.models.workloads.training_optional import adopting_files
from stillhouse.tasks.artifacts.artifact import file_digest, json_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.teacher import BlackBox
from stillhouse.tasks.settings import load_settings

TEACHER_FILE = "teacher.onnx"
"""File in the output of the stage `teacher` for an adopted teacher. A trained teacher has a checkpoint instead."""
TRIED_ON = "train"
"""Split whose examples test an adopted file."""


def adopt_file(box: BlackBox, data: Path, out_path: Path, workload: str) -> Path:
    """Adopt the recipe's file for this data. Returns `out_path`.

    Raises:
        StillhouseError: the file is missing or is not the file that the recipe names.
        ModelError: the file cannot process this data.
    """
    source = load_settings().root / box.onnx
    _check_digest(source, box.sha256)
    if own := adopting_files(workload):
        own.adopt_file(source, out_path, data, box)
        return out_path
    description, contents = describe(data), load_contents(data, TRIED_ON)
    adopt(
        source,
        out_path,
        image_shape=contents.raw.shape[1:],
        classes=len(description["labels"]),
        layout=box.layout,
        scale=box.scale,
        answers=box.output,
        examples_NCHW=contents.raw,
    )
    return out_path


def identity(box: BlackBox) -> str:
    """Return the digest of everything that a black box's outputs depend on, wherever its file lies."""
    return json_digest(box.model_dump(mode="json", exclude={"onnx", "licence"}))


def _check_digest(source: Path, expected: str) -> None:
    if not source.is_file():
        msg = f"there is no teacher at {source}; put its ONNX file there or mend onnx in the recipe"
        raise StillhouseError(msg)
    found = file_digest(source)
    if found != expected:
        msg = f"{source} has SHA-256 {found}, not the recipe's {expected}; restore the file or mend sha256"
        raise StillhouseError(msg)
