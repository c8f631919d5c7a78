"""One version of a production model, opened to answer: checked from its digest to the shape of its first answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import onnxruntime
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

from models.errors import ModelError
from models.inputs.pictures import picture_of, pixels_of
from models.inputs.text import codes_of
from models.inputs.waves import waves_of
from models.packing import deployable, unpacked
from models.runtime import open_session, predict
from models.towers import Deployed, open_towers
from models.ways import IMAGE, SPEECH, TEXT, Inputs
from tasks.errors import StillhouseError
from tasks.production.probe import probe
from tasks.production.versions import DIGEST, model_file, shippable
from tasks.student_file import TOWERS_FOLDER

OPSETS = range(17, 26)
"""Of the standard operators; ONNX Runtime as it is pinned has all of them."""
MOST_AT_ONCE = 256
"""Inputs of one request."""
Answer = dict[str, Any]


class ModelFault(Exception):  # noqa: N818 - an answer
    """The model does not answer an input that it should: not the fault of who asks."""


@dataclass(frozen=True)
class Served:
    """What answers requests."""

    model: str
    version: str
    digest: str
    opset: int
    answers: Mapping[str, Callable[[Sequence[Any]], list[Answer]]]
    """Kind of input (`image`, `text`, `speech`, `pixels`) -> what answers a batch of them."""

    def answer(self, kind: str, inputs: Sequence[Any]) -> list[Answer]:
        """Answer a batch.

        Raises:
            ModelError: there is nothing in it, too much, a kind that this model does not take, or what it cannot read.
            ModelFault: it does not answer what was read.
        """
        if kind not in self.answers:
            msg = f"{self.model} takes {', '.join(self.answers)}, not {kind}; send one of these"
            raise ModelError(msg)
        if not 0 < len(inputs) <= MOST_AT_ONCE:
            msg = f"a request of {len(inputs)} inputs is none or too many; send 1 to {MOST_AT_ONCE}"
            raise ModelError(msg)
        return self.answers[kind](inputs)


def open_served(version: ModelVersion) -> Served:
    """Download a version, check it, and open what answers.

    Raises:
        StillhouseError: its digest, its signature or its opset is not what it should be, or it does not answer.
    """
    with shippable(version) as folder:
        probe(folder)
        towers = folder / TOWERS_FOLDER
        files = [deployable(towers, name) for name in open_towers(towers).sessions] if towers.is_dir() else []
        opset = max(map(_opset, files or [model_file(folder)]))
        answers = answers_of(towers if files else model_file(folder), _labels(version))
        _expect_signature(folder, answers, f"{version.name} version {version.version}")
        return Served(version.name, str(version.version), version.tags[DIGEST], opset, answers)


def answers_of(path: Path, labels: Sequence[str]) -> dict[str, Callable[[Sequence[Any]], list[Answer]]]:
    """Open a file of one model, or a folder of towers: kind of input -> what answers a batch of it.

    Args:
        path: as the stage export leaves the student.
        labels: of the classes; none for towers.
    """
    return _of_towers(open_towers(path)) if path.is_dir() else _of_file(path, labels)


def _opset(path: Path) -> int:
    imports = onnx.load_from_string(unpacked(path)).opset_import
    opset = int(next(entry.version for entry in imports if not entry.domain))
    if opset not in OPSETS:
        known = f"{OPSETS.start} to {OPSETS.stop - 1}"
        msg = f"{path.name} is of opset {opset}, this server knows {known}; export it again"
        raise StillhouseError(msg)
    return opset


def _expect_signature(folder: Path, answers: Mapping[str, Any], name: str) -> None:
    """Compare what MLflow says that the model takes with what it does take."""
    signature = mlflow.models.Model.load(str(folder)).signature
    said = set(signature.inputs.input_names()) if signature else set()
    taken = {"images_NCHW"} if "pixels" in answers else set(answers)
    if said != taken:
        told, found = (", ".join(sorted(names)) or "nothing" for names in (said, taken))
        msg = f"{name} says that it takes {told}, and takes {found}; register it again"
        raise StillhouseError(msg)


def _labels(version: ModelVersion) -> list[str]:
    return [label for label in version.tags.get("stillhouse.labels", "").split("\n") if label]


def _of_file(path: Path, labels: Sequence[str]) -> dict[str, Callable[[Sequence[Any]], list[Answer]]]:
    session = open_session(path)
    shape = tuple(session.get_inputs()[0].shape[1:])

    def of_pixels(images: Sequence[Any]) -> list[Answer]:
        return _classes(session, _raw(images, shape), labels)

    def of_images(files: Sequence[bytes]) -> list[Answer]:
        return _classes(session, np.stack([pixels_of(file, shape) for file in files]), labels)

    return {"pixels": of_pixels, "image": of_images}


def _raw(images: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Pixels (N, *shape) of nested lists, which are checked one level after the other before anything is copied."""
    numbers = list(images)
    for size in shape:
        if not all(isinstance(each, list) and len(each) == size for each in numbers):
            raise ModelError(_misfit(shape))
        numbers = list(chain.from_iterable(numbers))
    if set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) > 255:  # noqa: PLR2004
        raise ModelError(_misfit(shape))
    return np.array(numbers, np.uint8).reshape(-1, *shape)


def _misfit(shape: tuple[int, ...]) -> str:
    wanted = f"(N, {', '.join(map(str, shape))})"
    return f"the pixels do not fit; send whole numbers from 0 to 255 in lists of shape {wanted}"


def _classes(session: onnxruntime.InferenceSession, raw_NCHW: NDArray[np.uint8], labels: Sequence[str]) -> list[Answer]:
    logits_NK = _asked(lambda: predict(session, raw_NCHW)).astype(np.float64)
    powers_NK = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    chances_NK = powers_NK / powers_NK.sum(1, keepdims=True)
    return [
        {"class": int(best), "label": labels[best] if labels else None, "probability": round(float(chances[best]), 6)}
        for best, chances in zip(chances_NK.argmax(1), chances_NK, strict=True)
    ]


def _of_towers(towers: Deployed) -> dict[str, Callable[[Sequence[Any]], list[Answer]]]:
    def of(kind: str, raw: NDArray[Any]) -> list[Answer]:
        return _vectors(_asked(lambda: towers.of(Inputs(kind, raw))))

    known: dict[str, Callable[[Sequence[Any]], list[Answer]]] = {
        TEXT: lambda sentences: of(TEXT, codes_of(sentences)),
        IMAGE: lambda files: of(IMAGE, np.stack([picture_of(file) for file in files])),
        SPEECH: lambda files: of(SPEECH, waves_of(files)),
    }
    return {name: known[name] for name in towers.sessions}


def _asked(ask: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Ask a model about what was read without a fault: that it fails now is its own."""
    try:
        return ask()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"the model does not answer this input ({reason}); give it another, or roll the model back"
        raise ModelFault(msg) from error


def _vectors(vectors_ND: NDArray[np.float32]) -> list[Answer]:
    return [{"vector": [round(float(number), 6) for number in vector]} for vector in vectors_ND]
