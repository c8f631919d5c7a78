"""What all peers are given alike: the teacher, calibration images, our training budget, our share of the work."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.peers.macs import macs_of_file
from benchmarks.peers.request import Request
from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.onnx.export import export_model
from stillhouse.models.training.checkpoint import load_model
from stillhouse.tasks.recipe.teacher import Training

QUICK_TRAINING, QUICK_CALIBRATION = 250, 100


def prepare(  # noqa: PLR0913 - what a benchmark is given, each by name
    work: Path,
    *,
    teacher: Path,
    data: Path,
    ours: list[Path],
    recipe: dict[str, Any],
    wide_share: float | None,
    quick: bool,
) -> Path:
    """Write request.json and all it names; returns its path.

    Args:
        work: a folder to write in.
        teacher: checkpoint folder.
        data: materialised dataset.
        ours: our deployables; the one with the least work sets the peers' share of it.
        recipe: the recipe as read from its file.
        wide_share: a second, larger share of multiply-accumulates, for a peer that cannot afford ours; None gives one.
        quick: use little data and one epoch.
    """
    data = shortened(data, work / "data") if quick else data
    calibration_NCHW = load_images(data, "calibration").images_NCHW
    np.save(work / "calibration.npy", calibration_NCHW)
    module, architecture = load_model(teacher)
    export_model(module, architecture, calibration_NCHW, work / "teacher.onnx")
    whole = macs_of_file(work / "teacher.onnx", architecture.image_shape)
    share = min(macs_of_file(path, architecture.image_shape) for path in ours) / whole
    request = Request(
        checkpoint=str(teacher.resolve()),
        onnx=str(work / "teacher.onnx"),
        calibration=str(work / "calibration.npy"),
        data=str(data),
        training=budget(recipe) | ({"epochs": 1} if quick else {}),
        macs_shares=(share,) if wide_share is None else (share, wide_share),
        seed=int(recipe["seed"]),
    )
    path = work / "request.json"
    path.write_text(json.dumps(asdict(request), indent=1), encoding="utf-8")
    return path


def budget(recipe: dict[str, Any]) -> dict[str, Any]:
    """Add up the epochs of all lessons of a recipe's student; the rest is as its last lesson says."""
    lessons = list(_lessons(recipe["steps"]))
    last = lessons[-1]
    training = Training(**last["training"]).model_dump(exclude={"augment", "resolutions", "label_smoothing"})
    teaching = {"temperature": last.get("temperature", 4.0), "hard_weight": last.get("hard_weight", 0.3)}
    epochs = sum(lesson["training"]["epochs"] for lesson in lessons)
    views = {"augmented_views": last.get("augmented_views", 1), "mixup_views": last.get("mixup_views", 0)}
    teaching |= {"loss": last.get("loss", "kl"), **views}
    return training | teaching | {"epochs": epochs}


def _lessons(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any part of a recipe
    """Find every part of a recipe that has a section `training` with epochs."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and "epochs" in (value.get("training") or {}):
        yield value
    for part in parts:
        yield from _lessons(part)


def shortened(data: Path, folder: Path) -> Path:
    """Copy a dataset with few training and calibration images."""
    shutil.copytree(data, folder, dirs_exist_ok=True)
    description = describe(folder)
    for split, count in (("train", QUICK_TRAINING), ("calibration", QUICK_CALIBRATION)):
        shard = description["splits"][split]["shards"][0]
        pq.write_table(pq.read_table(data / shard["path"]).slice(0, count), folder / shard["path"])
        description["splits"][split]["shards"] = [shard]
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return folder
