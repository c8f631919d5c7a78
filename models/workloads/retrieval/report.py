"""Report of retrieval: recalls, encoders, index kinds, and example queries with their results."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.models.data.sound.audio import load_recordings
from stillhouse.models.workloads.report_base import Report, Section
from stillhouse.models.workloads.retrieval.data import SPEECH
from stillhouse.models.workloads.retrieval.pictures import pictures_of, png_address
from stillhouse.models.workloads.retrieval.predict import answer_queries
from stillhouse.models.workloads.retrieval.schema import COMPATIBILITY, Details, Example, Recalls, TestDetails

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
    """One row of the recall table: quality as a fraction, for teacher and student at each cut."""

    split: str
    way: str
    cells: tuple[tuple[float, float], ...]
    chance: float | None
    """Recall of random answers at the cut."""


class Retrieval:
    """Report of the results of both models and of random answers."""

    slices = "languages"
    answer_queries = staticmethod(answer_queries)

    def section(
        self,
        details: Mapping[str, Any],
        comparisons: Mapping[str, Any],
        tested: Mapping[str, Any] | None,
        data: Path | None,
    ) -> Section:
        """Return the section with recalls, encoders, index kinds, and example queries with their results."""
        found = Details.model_validate(details)
        opened = TestDetails.model_validate(tested) if tested else None
        values = {
            "found": found,
            "recalls": recall_lines(found, opened),
            "languages": _languages(found.recalls),
            "compatibility": comparisons[COMPATIBILITY],
            "gallery": gallery(data, found.examples) if data else {},
            "sounds": sounds(data, found.examples) if data else {},
        }
        return Section("What is found", Path(__file__).with_name("section.html"), values)


REPORT: Report = Retrieval()


def recall_lines(found: Details, tested: TestDetails | None) -> list[RecallLine]:
    """Return recall@k of both models, per direction, for the split `gate` and, if it is open, for `test`."""
    lines = _lines("gate", found.recalls, found.chance)
    return lines + (_lines("test", tested.recalls, tested.chance) if tested else [])


def _languages(recalls: Recalls) -> int:
    """Count the languages of the queries."""
    return max(
        len(values)
        for way in recalls["student"]["gate"].values()
        for values in way.values()
        if isinstance(values, tuple)
    )


def _lines(split: str, recalls: Recalls, chance: Mapping[str, Mapping[str, float]]) -> list[RecallLine]:
    return [
        RecallLine(split, words, tuple(_pair(recalls, split, way, k) for k in CUTS), chance[split].get(way))
        for way, words in WAYS.items()
        if way in recalls["teacher"][split]
    ]


def _pair(recalls: Recalls, split: str, way: str, k: int) -> tuple[float, float]:
    teacher, student = (recalls[model][split][way][f"recall@{k}"] for model in ("teacher", "student"))
    assert isinstance(teacher, float)  # noqa: S101 - only the keys by language hold several
    assert isinstance(student, float)  # noqa: S101 - likewise
    return teacher, student


def gallery(data: Path, examples: Sequence[Example]) -> dict[int, str]:
    """Return the pictures of all example answers as PNG data URLs, by position in the split `gate`."""
    images_NCHW = pictures_of(data, "gate").images_NCHW
    return {place: png_address(images_NCHW[place]) for place in sorted(_places(examples))}


def sounds(data: Path, examples: Sequence[Example]) -> dict[int, str]:
    """Return the recordings of all spoken examples as audio data URLs, by row in the split `gate`."""
    rows = {example.row for example in examples if example.encoder == SPEECH}
    if not rows:
        return {}
    audio = load_recordings(data, "gate").audio
    return {row: f"data:audio/ogg;base64,{base64.b64encode(audio[row]).decode()}" for row in sorted(rows)}


def _places(examples: Sequence[Example]) -> set[int]:
    return {place for example in examples for place in (example.right, *example.teacher, *example.student)}
