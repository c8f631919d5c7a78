"""The report's part on retrieval: recalls, towers, ways to keep the index, and queries with what they found."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.inputs.images import load_images
from tasks.reporting.evaluation import Example, Retrieval, parse_evaluation

CUTS = (1, 5, 10)
WAYS = {"text_to_image": "sentence to picture", "image_to_text": "picture to sentence", "mean": "mean of both"}
ROLES = ("gate", "sealed")


@dataclass(frozen=True)
class RecallLine:
    """One line of the table of recalls: quality as a fraction, teacher and student at each cut."""

    role: str
    way: str
    cells: tuple[tuple[float, float], ...]


def recall_lines(retrieval: Retrieval) -> list[RecallLine]:
    """Lay out recall@k of both models, for each role and way."""
    return [
        RecallLine(role, words, tuple(_pair(retrieval, role, way, k) for k in CUTS))
        for role in ROLES
        for way, words in WAYS.items()
    ]


def _pair(retrieval: Retrieval, role: str, way: str, k: int) -> tuple[float, float]:
    teacher, student = (retrieval.recalls[model][role][way][f"recall@{k}"] for model in ("teacher", "student"))
    assert isinstance(teacher, float)  # noqa: S101 - only the keys by language hold several
    assert isinstance(student, float)  # noqa: S101 - likewise
    return teacher, student


def gallery(folder: Path, evaluation: Mapping[str, Any]) -> dict[int, str]:
    """Picture of every example's answers, as data addresses of PNG files, by place in the gate role."""
    retrieval = parse_evaluation(evaluation).retrieval
    if retrieval is None:
        return {}
    images_NCHW = load_images(folder, "gate").images_NCHW
    return {place: png_address(images_NCHW[place]) for place in sorted(_places(retrieval.examples))}


def _places(examples: tuple[Example, ...]) -> set[int]:
    return {place for example in examples for place in (example.right, *example.teacher, *example.student)}


def png_address(image_CHW: NDArray[np.uint8]) -> str:
    """Write raw pixels (3, H, W) as a PNG file, and that as a data address."""
    stream = io.BytesIO()
    Image.fromarray(image_CHW.transpose(1, 2, 0)).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
