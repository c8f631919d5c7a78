"""The recipe sections that say how a student is measured, what it must reach, and who decides about promotion."""

from typing import Annotated, Literal

from pydantic import Field

from stillhouse.tasks.recipe.section import Fraction, Name, Positive, Section


class Latency(Section):
    """How long the two exported files are timed against each other."""

    repeats: Annotated[int, Field(ge=3, le=1000)] = 9
    """Fewest repeats of the timing."""
    max_repeats: Annotated[int, Field(ge=1, le=1000)] = 27
    """Most repeats. More than `repeats` are timed while the interval contains the limit."""
    rounds: Annotated[int, Field(ge=10, le=10_000)] = 40
    """Number of turns of each file in a repeat."""
    pause_seconds: Annotated[float, Field(ge=0, le=600)] = 1.0
    """Pause between two repeats, in seconds."""


class Gate(Section):
    """The minimum values that a student must reach, each as student against teacher."""

    quality: Fraction
    """Student quality / teacher quality."""
    bytes: Positive
    """Teacher bytes / student bytes."""
    latency: Positive
    """Teacher time / student time, batch 1, one pinned thread."""
    max_drop_points: Annotated[float, Field(ge=0, lt=100)] | None = None
    """Maximum drop of quality on the split `gate`, in percentage points. None: only `quality` limits the drop."""
    comparisons: Annotated[dict[Name, Positive], Field(default_factory=dict)]
    """Named comparison of the workload -> its minimum value.

    Example: retrieval's `backward_compatibility` is the quality of
    the student's queries on the teacher's index / the teacher's quality.
    """
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence of the one-sided bounds by which the gate judges."""


class Promotion(Section):
    """Who decides whether a candidate goes to production."""

    policy: Literal["manual", "auto"] = "manual"
    """manual: a person always decides. auto: a person decides only if the candidate may be worse than the champion."""
    most_churn: Fraction = 0.05
    """`auto` approves alone only if candidate and champion differ on at most this share of the split `gate`."""
    max_quality_drop: Fraction = 0.01
    """Non-inferiority margin of `auto` on the split `gate`, as a share: the lower end of the confidence interval of the
    difference to the champion must lie above minus this margin.
    """
    max_slice_drop: Fraction = 0.05
    """The same margin for the worst class or language."""
    answer_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 48
    """Hours that a person has to decide. After that the candidate is refused."""
