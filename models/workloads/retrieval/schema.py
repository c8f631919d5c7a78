"""Typed schema of the results that only retrieval has. Its runtime writes them, its report reads them."""

from typing import Annotated, Literal

from pydantic import Field

from stillhouse.models.evaluation.schema import Count, Estimate, Part, Positive, Share

COMPATIBILITY = "backward_compatibility"
"""Name of the comparison of the student's queries over the teacher's index."""
Recalls = dict[str, dict[str, dict[str, dict[str, float | tuple[float, ...]]]]]
"""Model -> split -> direction, such as `text_to_image`, or `mean` -> `recall@k` and `recall@k_by_language`."""


class EncoderCost(Part):
    """Cost of one encoder of the teacher and of the student."""

    bytes: tuple[Count, Count]
    milliseconds: tuple[Positive, Positive]
    """10th percentiles, timed in turns."""
    latency: Estimate
    """Teacher time / student time."""


class IndexCost(Part):
    """Cost and recall of one kind of index of the student's gallery."""

    bytes: Annotated[int, Field(ge=1)]
    recall: Share
    """Share of sentences whose picture is found within the cut."""


class Example(Part):
    """One query, and the positions of the first pictures that each model finds."""

    text: str
    """The written or spoken text."""
    encoder: Literal["text", "speech"]
    row: Count
    """Row of the query among its inputs. For a spoken query, the row of its recording."""
    right: Count
    teacher: tuple[Count, ...]
    student: tuple[Count, ...]


class Details(Part):
    """Results of two retrieval models."""

    cut: Annotated[int, Field(ge=1)]
    """Quality is recall at this cut."""
    recalls: Recalls
    chance: dict[str, dict[str, Share]]
    """Split -> direction -> recall of random answers at the cut."""
    encoders: dict[str, EncoderCost]
    index: dict[str, IndexCost]
    examples: tuple[Example, ...]


class TestDetails(Part):
    """Results on the split `test`."""

    __test__ = False  # a class of this product, not a pytest test
    recalls: Recalls
    chance: dict[str, dict[str, Share]]
