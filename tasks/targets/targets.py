"""The targets of a model, in one table: which models each one takes, and what its file is made of."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.environment import OPENVINO
from stillhouse.tasks.targets.source import Source

Form = Literal["file", "adopted", "named"]
"""Of what a student is made: an ONNX file alone, the user's network changed in place, one of our own networks."""
FORMS: tuple[Form, ...] = ("file", "adopted", "named")
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


def names_that_take(workload: str, forms: Collection[Form]) -> list[str]:
    """Name the targets that take a student of a workload in one of these forms. ONNX Runtime takes all."""
    wanted = {(workload, form) for form in forms}
    return [ONNX_RUNTIME, *(name for name, target in TARGETS.items() if wanted & {*target.takes})]


def _plain_onnx(source: Source, component: str, _data: Path, folder: Path) -> Path:
    import onnx

    from stillhouse.models.onnx.plain.read import expect_narrow_integers, read_plain

    model = read_plain(source.bundle.file(component))
    expect_narrow_integers(model, "OpenVINO")
    path = folder / f"{component}.onnx"
    onnx.save(model, path)
    return path


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
            _plain_onnx,
            {(workload, form) for workload in (_PIXELS, _TEXTS, _PAIRS) for form in FORMS},
        ),
    )
}
"""Name -> target. ONNX Runtime is not here, because every student is a file for it."""
