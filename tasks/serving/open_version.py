"""Open a version of a production model for serving, and check it, from its digest to the shape of a first answer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import yaml
from mlflow.entities.model_registry import ModelVersion

from stillhouse.models.onnx.packing import unpack
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.artifacts.student_file import MODEL_FILE, TO_SERVE
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.registry.probe import probe
from stillhouse.tasks.registry.versions import DIGEST, shippable
from stillhouse.tasks.serving.protocols.ports import ports_of
from stillhouse.tasks.serving.served import Served

OPSETS = range(17, 26)
"""Accepted opsets of the standard operators. The pinned ONNX Runtime supports all of them."""


def open_served(version: ModelVersion) -> Served:
    """Download a version, check it, and open it for serving.

    Raises:
        StillhouseError: the digest, the signature or the opset is wrong, or the version does not answer.
    """
    with shippable(version, TO_SERVE) as folder:
        bundle = probe(folder)
        opset = opset_of(bundle)
        answers = runtime_of(bundle.workload).serve(bundle, _labels(version))
        _expect_signature(folder, bundle, answers, f"{version.name} version {version.version}")
        ports = ports_of(bundle, answers)
        return Served(version.name, str(version.version), version.tags[DIGEST], opset, answers, ports)


def opset_of(bundle: Bundle) -> int:
    """Return the highest opset of the files that are opened. Beside them lie others, such as a tokenizer.

    Raises:
        StillhouseError: this server does not know an opset.
    """
    return max(_opset(bundle.file(component)) for component in bundle.components)


def _opset(path: Path) -> int:
    imports = onnx.load_from_string(unpack(path)).opset_import
    opset = int(next(entry.version for entry in imports if not entry.domain))
    if opset not in OPSETS:
        known = f"{OPSETS.start} to {OPSETS.stop - 1}"
        msg = f"{path.name} is of opset {opset}, this server knows {known}; export it again"
        raise StillhouseError(msg)
    return opset


def _expect_signature(folder: Path, bundle: Bundle, answers: Mapping[str, Any], name: str) -> None:
    """Compare the signature in MLflow with the inputs that the model takes. An old one has those of its ONNX file."""
    said = _said_inputs(folder)
    taken = _inputs(bundle.files[0]) if (folder / MODEL_FILE).is_file() else set(answers)
    if said != taken:
        told, found = (", ".join(sorted(names)) or "nothing" for names in (said, taken))
        msg = f"{name} says that it takes {told}, and takes {found}; register it again"
        raise StillhouseError(msg)


def _said_inputs(folder: Path) -> set[str]:
    """Return the names of the inputs in MLflow's signature. MLflow's own reader needs pandas, which no server needs."""
    signature = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8")).get("signature") or {}
    return {str(entry["name"]) for entry in json.loads(signature.get("inputs") or "[]") if "name" in entry}


def _inputs(path: Path) -> set[str]:
    return {port.name for port in onnx.load_from_string(unpack(path)).graph.input}


def _labels(version: ModelVersion) -> list[str]:
    return [label for label in version.tags.get("stillhouse.labels", "").split("\n") if label]
