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

from models.evaluation.schema import Example, Recalls, Retrieval
from models.inputs.audio import load_recordings
from models.inputs.gallery import load_gallery
from models.inputs.images import Images, describe, load_images
from models.ways import SPEECH
from tasks.reporting.evaluation import parse_evaluation
from tasks.reporting.final_test import Opened

CUTS = (1, 5, 10)
WAYS = {
    "text_to_image": "sentence to picture",
    "image_to_text": "picture to sentence",
    "speech_to_image": "recording to picture",
    "speech_to_text": "recording to sentence",
    "mean": "mean",
}


@dataclass(frozen=True)
class RecallLine:
    """One line of the table of recalls: quality as a fraction, teacher and student at each cut."""

    role: str
    way: str
    cells: tuple[tuple[float, float], ...]
    chance: float | None
    """Recall at the cut of answers drawn at random."""


def recall_lines(retrieval: Retrieval, tested: Opened | None) -> list[RecallLine]:
    """Lay out recall@k of both models, for each role and way: of the gate, and of the sealed test once it is open."""
    lines = _lines("gate", retrieval.recalls, retrieval.chance)
    if tested and tested.recalls and tested.chance:
        lines += _lines("sealed", tested.recalls, tested.chance)
    return lines


def _lines(role: str, recalls: Recalls, chance: Mapping[str, Mapping[str, float]]) -> list[RecallLine]:
    return [
        RecallLine(role, words, tuple(_pair(recalls, role, way, k) for k in CUTS), chance[role].get(way))
        for way, words in WAYS.items()
        if way in recalls["teacher"][role]
    ]


def _pair(recalls: Recalls, role: str, way: str, k: int) -> tuple[float, float]:
    teacher, student = (recalls[model][role][way][f"recall@{k}"] for model in ("teacher", "student"))
    assert isinstance(teacher, float)  # noqa: S101 - only the keys by language hold several
    assert isinstance(student, float)  # noqa: S101 - likewise
    return teacher, student


def gallery(folder: Path, evaluation: Mapping[str, Any]) -> dict[int, str]:
    """Picture of every example's answers, as data addresses of PNG files, by place in the gate role."""
    retrieval = parse_evaluation(evaluation).retrieval
    if retrieval is None:
        return {}
    images_NCHW = pictures_of(folder, "gate").images_NCHW
    return {place: png_address(images_NCHW[place]) for place in sorted(_places(retrieval.examples))}


def pictures_of(folder: Path, role: str) -> Images:
    """Read the pictures that a role's queries search."""
    return load_gallery(folder) if "gallery" in describe(folder) else load_images(folder, role)


def sounds(folder: Path, evaluation: Mapping[str, Any]) -> dict[int, str]:
    """Recording of every example that is one, as data addresses of audio files, by row in the gate role."""
    retrieval = parse_evaluation(evaluation).retrieval
    rows = {example.row for example in retrieval.examples if example.tower == SPEECH} if retrieval else set()
    if not rows:
        return {}
    audio = load_recordings(folder, "gate").audio
    return {row: f"data:audio/ogg;base64,{base64.b64encode(audio[row]).decode()}" for row in sorted(rows)}


def _places(examples: tuple[Example, ...]) -> set[int]:
    return {place for example in examples for place in (example.right, *example.teacher, *example.student)}


def png_address(image_CHW: NDArray[np.uint8]) -> str:
    """Write raw pixels (3, H, W) as a PNG file, and that as a data address."""
    stream = io.BytesIO()
    Image.fromarray(image_CHW.transpose(1, 2, 0)).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
