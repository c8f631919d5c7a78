"""Open a version of a production model for serving, and check it, from its digest to the shape of a first answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import onnx
from mlflow.entities.model_registry import ModelVersion

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import unpack
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Answerer, runtime_of
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.registry.probe import probe
from stillhouse.tasks.registry.versions import DIGEST, shippable

OPSETS = range(17, 26)
"""Accepted opsets of the standard operators. The pinned ONNX Runtime supports all of them."""
MOST_AT_ONCE = 256
"""Maximum number of inputs in one request."""
Answer = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """An opened version that answers requests."""

    model: str
    version: str
    digest: str
    opset: int
    answers: Mapping[str, Answerer]
    """Kind of input (`image`, `text`, `speech`, `pixels`) -> function that answers a batch of such inputs."""

    def answer(self, kind: str, inputs: Sequence[Any]) -> list[Answer]:
        """Answer a batch.

        Raises:
            ModelError: the batch is empty or too large, the model does not take this kind, or an input cannot be read.
            ModelFault: the inputs were read, but the model does not answer.
        """
        if kind not in self.answers:
            msg = f"{self.model} takes {', '.join(self.answers)}, not {kind}; send one of these"
            raise ModelError(msg)
        if not 0 < len(inputs) <= MOST_AT_ONCE:
            msg = f"a request of {len(inputs)} inputs is none or too many; send 1 to {MOST_AT_ONCE}"
            raise ModelError(msg)
        return self.answers[kind](inputs)


def open_served(version: ModelVersion) -> Served:
    """Download a version, check it, and open it for serving.

    Raises:
        StillhouseError: the digest, the signature or the opset is wrong, or the version does not answer.
    """
    with shippable(version) as folder:
        bundle = probe(folder)
        opset = max(map(_opset, bundle.files))
        answers = runtime_of(bundle.workload).serve(bundle, _labels(version))
        _expect_signature(folder, bundle, answers, f"{version.name} version {version.version}")
        return Served(version.name, str(version.version), version.tags[DIGEST], opset, answers)


def _opset(path: Path) -> int:
    imports = onnx.load_from_string(unpack(path)).opset_import
    opset = int(next(entry.version for entry in imports if not entry.domain))
    if opset not in OPSETS:
        known = f"{OPSETS.start} to {OPSETS.stop - 1}"
        msg = f"{path.name} is of opset {opset}, this server knows {known}; export it again"
        raise StillhouseError(msg)
    return opset


def _expect_signature(folder: Path, bundle: Bundle, answers: Mapping[str, Any], name: str) -> None:
    """Compare the signature in MLflow with the inputs that the model takes."""
    signature = mlflow.models.Model.load(str(folder)).signature
    said = set(signature.inputs.input_names()) if signature else set()
    taken = set(answers) if len(bundle.files) > 1 else _inputs(bundle.files[0])
    if said != taken:
        told, found = (", ".join(sorted(names)) or "nothing" for names in (said, taken))
        msg = f"{name} says that it takes {told}, and takes {found}; register it again"
        raise StillhouseError(msg)


def _inputs(path: Path) -> set[str]:
    return {port.name for port in onnx.load_from_string(unpack(path)).graph.input}


def _labels(version: ModelVersion) -> list[str]:
    return [label for label in version.tags.get("stillhouse.labels", "").split("\n") if label]
