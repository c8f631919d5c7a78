"""The typed shape of what the judge writes, for the judge and for all who read it.

Units: bytes, milliseconds, and quality as a fraction in which more is better. Every interval is two-sided, so at
`2 * confidence - 1` its ends are the one-sided bounds the gate needs.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Interval = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A piece of the evaluation: every number is there and finite; new keys may come beside it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Estimate(Part):
    """A value and the interval around it."""

    value: float
    interval: Interval

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.interval[0] > self.interval[1]:
            msg = "interval ends are the wrong way round"
            raise ValueError(msg)
        return self


class Roles(Part):
    """One estimate for the role that is judged; `sealed` is in final_test.json."""

    gate: Estimate


class Times(Part):
    """Milliseconds for one example on one pinned thread; the interval belongs to the 10th percentile."""

    p10: Positive
    median: Positive
    p99: Positive
    interval: Interval


class Serving(Part):
    """What it takes to serve one file: the median of fresh processes that did nothing else."""

    unpack_ms: NotNegative
    """0 for a plain file; part of `load_ms`."""
    load_ms: Positive
    peak_bytes: NotNegative
    """Resident memory beyond the imported runtime."""
    cpu_seconds_per_1000: Positive
    """Processor time of 1,000 answers at batch 1."""


class Model(Part):
    """One exported file in the runtime that ships."""

    bytes: Annotated[int, Field(ge=1)]
    """What ships, packed if it is packed."""
    zstd_bytes: Annotated[int, Field(ge=1)]
    """The same file after zstd at level 19."""
    unpacked_bytes: Annotated[int, Field(ge=1)]
    """The ONNX file after unpacking; equals `bytes` for a plain file."""
    serving: Serving
    latency_ms: Times
    quality: Roles
    parity: Share
    """Share of gate examples on which the runtime answers differently from the training-time module."""


class Ratios(Part):
    """Teacher / student for bytes and latency, student / teacher for quality."""

    bytes: Positive
    latency: Estimate
    quality: Roles


class Difference(Estimate):
    """Student - teacher as a share, two-sided; `lower_bound` is one-sided at the recipe's confidence."""

    lower_bound: float


class Pair(Part):
    """Teacher and student on the same examples of one role."""

    difference: Difference
    mcnemar_p: Share
    """Exact and two-sided: is each equally often the only one that is right?"""
    discordant: tuple[Count, Count]
    """Examples on which only the teacher is right, and only the student."""
    churn: Share
    """Share of examples that the two answer differently, right or wrong."""


class Pairs(Part):
    """One comparison for the role that is judged."""

    gate: Pair


class Classes(Part):
    """Recall of every class on the gate role; a class without examples may have no recall."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=True)
    labels: tuple[str, ...]
    teacher: tuple[float | None, ...]
    student: tuple[float | None, ...]
    count: tuple[int, ...]

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len({len(self.labels), len(self.teacher), len(self.student), len(self.count)}) != 1:
            msg = "labels, teacher, student and count differ in length"
            raise ValueError(msg)
        return self


class Evaluation(Part):
    """All of evaluation.json."""

    teacher: Model
    student: Model
    ratios: Ratios
    paired: Pairs
    classes: Classes
    latency_ratios: tuple[Positive, ...]
    machine: dict[str, Any]
    comparisons: dict[str, Estimate] = {}
    """What only this workload compares, each by its name; a recipe's gate may ask for a least value."""
    details: dict[str, Any] = {}
    """What only this workload tells; its own report knows how to read it."""


class Tested(Part):
    """What was measured on the sealed split. It decides nothing."""

    teacher: Estimate
    """Quality."""
    student: Estimate
    ratio: Estimate
    """Student / teacher."""
    paired: Pair
    details: dict[str, Any] = {}
    """What only this workload tells."""


class Measured(Part):
    """What was measured of both."""

    paired: Pair
    bytes: Positive
    """Champion / student."""
    latency: Estimate
    """Champion / student."""
    slices: Mapping[str, Estimate] = {}
    """Class or language -> quality of the student minus that of the champion on the gate role, two-sided."""
