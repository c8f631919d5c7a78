"""Find what the last nightly run left: its teacher, its data and the student that ships."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.models.workloads.registry import ALONE

REMEDY = "run `make run` first, or name them with --teacher, --data and --ours"


def newest_data(state: Path, dataset: str) -> Path:
    """Find the newest materialised folder of a dataset."""
    found = [path.parent for path in sorted((state / "data").glob("*/dataset.json"), key=_age)]
    return _first([folder for folder in found if _read(folder / "dataset.json")["name"] == dataset], f"{dataset} data")


def newest_teacher(state: Path, network: dict[str, Any]) -> Path:
    """Find the newest trained teacher with a recipe's network."""
    wanted = {"network": network["name"], "arguments": network.get("arguments", {})}
    folders = [
        folder
        for folder in _stages(state, "teacher")
        if (about := folder / ALONE / "architecture.json").exists() and wanted.items() <= _read(about).items()
    ]
    return _first(folders, f"trained {network['name']} teacher") / ALONE


def newest_student(state: Path, teacher: Path, data: Path) -> Path:
    """Find the newest exported student whose teacher answers the gate split as this teacher does."""
    from stillhouse.models.runtime.bundle import open_bundle
    from stillhouse.models.training.checkpoint import load_model
    from stillhouse.models.workloads.image_classification.training import Classifier

    expected_N = Classifier(data).reference(load_model(teacher)[0])
    kept = Path("references") / "teacher" / f"{ALONE}.npy"
    folders = [folder for folder in _stages(state, "export") if np.array_equal(np.load(folder / kept), expected_N)]
    return open_bundle(_first(folders, "exported student of this teacher") / "student").file(ALONE)


def _stages(state: Path, stage: str) -> list[Path]:
    manifests = sorted((state / "artifacts").glob("*/manifest.json"), key=_age)
    return [path.parent for path in manifests if _read(path)["origin"].get("stage") == stage]


def _age(path: Path) -> float:
    return -path.stat().st_mtime


def _read(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(path.read_text(encoding="utf-8"))


def _first(folders: list[Path], what: str) -> Path:
    if not folders:
        sys.exit(f"there is no {what} here; {REMEDY}")
    return folders[0]
