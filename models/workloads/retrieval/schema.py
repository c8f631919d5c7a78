"""What retrieval alone tells of two models, typed: its runtime writes it, its report reads it."""

from typing import Annotated, Literal

from pydantic import Field

from stillhouse.models.evaluation.schema import Count, Estimate, Part, Positive, Share

Recalls = dict[str, dict[str, dict[str, dict[str, float | tuple[float, ...]]]]]
"""Model -> role -> direction, such as `text_to_image`, or `mean` -> `recall@k` and `recall@k_by_language`."""


class EncoderCost(Part):
    """One encoder of the teacher and of the student."""

    bytes: tuple[Count, Count]
    milliseconds: tuple[Positive, Positive]
    """10th percentiles, timed in turns."""
    latency: Estimate
    """Teacher time / student time."""


class IndexCost(Part):
    """One way to keep the student's gallery."""

    bytes: Annotated[int, Field(ge=1)]
    recall: Share
    """Share of sentences whose picture is found within the cut."""


class Example(Part):
    """One query, and the places of the first pictures that each model finds."""

    text: str
    """What was written, or said."""
    encoder: Literal["text", "speech"]
    row: Count
    """Which of the role's recordings asked, if one did."""
    right: Count
    teacher: tuple[Count, ...]
    student: tuple[Count, ...]


class Details(Part):
    """What is told of models that retrieve."""

    cut: Annotated[int, Field(ge=1)]
    """Quality is recall at this cut."""
    recalls: Recalls
    chance: dict[str, dict[str, Share]]
    """Role -> direction -> recall at the cut of answers drawn at random."""
    encoders: dict[str, EncoderCost]
    index: dict[str, IndexCost]
    examples: tuple[Example, ...]


class TestDetails(Part):
    """What is told on the split `sealed`."""

    __test__ = False  # of this product, and no test of pytest
    recalls: Recalls
    chance: dict[str, dict[str, Share]]
