"""The sections of a recipe that say how a student is measured, what it must reach, and who decides about it then."""

from typing import Annotated, Literal

from pydantic import Field

from stillhouse.tasks.recipe.section import Fraction, Name, Positive, Section


class Latency(Section):
    """How long the two exported files are timed against each other."""

    repeats: Annotated[int, Field(ge=3, le=1000)] = 9
    max_repeats: Annotated[int, Field(ge=1, le=1000)] = 27
    rounds: Annotated[int, Field(ge=10, le=10_000)] = 40
    pause_seconds: Annotated[float, Field(ge=0, le=600)] = 1.0


class Gate(Section):
    """The least a student must reach, each as student against teacher."""

    quality: Fraction
    """Student quality / teacher quality."""
    bytes: Positive
    """Teacher bytes / student bytes."""
    latency: Positive
    """Teacher time / student time, batch 1, one pinned thread."""
    max_drop_points: Annotated[float, Field(ge=0, lt=100)] | None = None
    """Most percentage points that quality may fall on the split `gate`; None leaves it to `quality`."""
    comparisons: Annotated[dict[Name, Positive], Field(default_factory=dict)]
    """Named comparison of the workload -> its least value, such as retrieval's `backward_compatibility`: the quality
    of the student's queries over the teacher's index / the teacher's quality."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


class Promotion(Section):
    """Who decides whether a candidate goes to production."""

    policy: Literal["manual", "auto"] = "manual"
    """manual: a person is always asked; auto: only where the candidate is not surely as good as the champion."""
    most_churn: Fraction = 0.05
    """Share of the gate role's answers that may not be the champion's for `auto` to say yes by itself."""
    max_quality_drop: Fraction = 0.01
    """Non-inferiority margin of `auto` on the gate role, as a share: the lower end of the interval of the difference
    to the champion must lie above minus this margin."""
    max_slice_drop: Fraction = 0.05
    """The same margin for the worst class or language."""
    answer_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 48
    """How long a person may take; after that the answer is no."""
