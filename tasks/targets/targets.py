"""The targets of a model, in one table: which models each one takes, and what its file is made of."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.environment import EXECUTORCH, OPENVINO, TENSORFLOW
from stillhouse.tasks.targets.prepare import write_plain_onnx, write_program, write_student
from stillhouse.tasks.targets.source import Form, Source

FORMS: tuple[Form, ...] = get_args(Form)
ONNX_RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Target:
    """A runtime that a student goes out to."""

    name: str
    words: str
    """The runtime's name, for people."""
    lock: Path
    """The hash-locked requirements of its environment."""
    module: str
    """The module that writes and judges there; see `models.targets.judge`."""
    suffix: str
    """Of the file that the runtime opens."""
    prepare: Callable[[Source, str, Path, Path], Path]
    """Writes what the runtime's file is made of. Takes source, component, the dataset's folder, a folder to fill."""
    takes: Collection[tuple[str, Form]]
    """Pairs of workload and form that the runtime may take."""


def target_of(name: str) -> Target:
    """Find a target by its name.

    Raises:
        StillhouseError: there is no such target.
    """
    if name not in TARGETS:
        msg = f"there is no target {name!r}; use {', '.join((ONNX_RUNTIME, *TARGETS))}"
        raise StillhouseError(msg)
    return TARGETS[name]


def expect_taken(name: str, workload: str, forms: Collection[Form]) -> None:
    """Expect a target to take a student of a workload in at least one of these forms.

    Raises:
        StillhouseError: it takes none, or there is no such target. The message names the targets that do.
    """
    if any(takes(name, workload, form) for form in forms):
        return
    can = " or ".join(names_that_take(workload, forms))
    msg = f"the target {name} takes no student of this model ({workload}); use --target {can}"
    raise StillhouseError(msg)


def takes(name: str, workload: str, form: Form) -> bool:
    """Tell whether a target takes a student of a workload in a form. ONNX Runtime takes all."""
    return name == ONNX_RUNTIME or (workload, form) in target_of(name).takes


def names_that_take(workload: str, forms: Collection[Form]) -> list[str]:
    """Name the targets that take a student of a workload in one of these forms."""
    return [name for name in (ONNX_RUNTIME, *TARGETS) if any(takes(name, workload, form) for form in forms)]


_PIXELS, _TEXTS, _PAIRS = "image_classification", "text_embedding", "retrieval"
TARGETS = {
    target.name: target
    for target in (
        Target(
            "openvino",
            "OpenVINO",
            OPENVINO,
            "stillhouse.models.targets.openvino",
            ".xml",
            write_plain_onnx,
            {(workload, form) for workload in (_PIXELS, _TEXTS, _PAIRS) for form in FORMS},
        ),
        Target(
            "executorch",
            "ExecuTorch",
            EXECUTORCH,
            "stillhouse.models.targets.executorch",
            ".pte",
            write_program,
            {(_PIXELS, "adopted"), (_PIXELS, "named")},
        ),
        Target(
            "litert",
            "LiteRT",
            TENSORFLOW,
            "stillhouse.models.targets.litert",
            ".tflite",
            write_student,
            {(_PIXELS, "named")},
        ),
    )
}
"""Name -> target. ONNX Runtime is not here, because every student is a file for it."""
