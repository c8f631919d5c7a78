"""Typed schema of the evaluation's result, for the evaluation and for all readers.

Units: bytes, milliseconds, and quality as a fraction (higher is better). Every interval is two-sided. At
a confidence of `2 * confidence - 1`, its ends are the one-sided bounds that the gate needs.
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
    """Base of all parts of the evaluation. Every number is present and finite. Extra keys are allowed."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Estimate(Part):
    """A value and its interval."""

    value: float
    interval: Interval

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.interval[0] > self.interval[1]:
            msg = "interval ends are the wrong way round"
            raise ValueError(msg)
        return self


class Roles(Part):
    """One estimate for the evaluated split. The estimate for `test` is in final_test.json."""

    gate: Estimate


class Times(Part):
    """Milliseconds for one example on one pinned thread. The interval is that of the 10th percentile."""

    p10: Positive
    median: Positive
    p99: Positive
    interval: Interval


class Serving(Part):
    """Serving cost of one file: the median over fresh processes that do nothing else."""

    unpack_ms: NotNegative
    """0 for a plain file. `load_ms` includes this time."""
    load_ms: Positive
    peak_bytes: NotNegative
    """Resident memory above that of the imported runtime."""
    cpu_seconds_per_1000: Positive
    """Processor time of 1,000 answers at batch 1."""


class Model(Part):
    """One exported file in the deployed runtime."""

    bytes: Annotated[int, Field(ge=1)]
    """Size of the shipped file, packed if it is packed."""
    zstd_bytes: Annotated[int, Field(ge=1)]
    """Size of the same file after zstd at level 19."""
    unpacked_bytes: Annotated[int, Field(ge=1)]
    """Size of the ONNX file after unpacking. For a plain file it equals `bytes`."""
    serving: Serving
    latency_ms: Times
    quality: Roles
    parity: Share
    """Share of gate examples on which the runtime's answer differs from that of the training-time module."""


class Ratios(Part):
    """Teacher / student for bytes and latency, student / teacher for quality."""

    bytes: Positive
    latency: Estimate
    quality: Roles


class Difference(Estimate):
    """Student - teacher as a share, two-sided. `lower_bound` is one-sided at the recipe's confidence."""

    lower_bound: float


class Pair(Part):
    """Teacher and student on the same examples of one split."""

    difference: Difference
    mcnemar_p: Share
    """Exact two-sided p-value. Null hypothesis: each model is equally often the only one that is right."""
    discordant: tuple[Count, Count]
    """Number of examples on which only the teacher is right, and on which only the student is right."""
    churn: Share
    """Share of examples on which the two answers differ, right or wrong."""


class Pairs(Part):
    """One comparison for the evaluated split."""

    gate: Pair


class Classes(Part):
    """Recall of every class on the gate split. A class without examples may have no recall."""

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
    """The content of evaluation.json."""

    teacher: Model
    student: Model
    ratios: Ratios
    paired: Pairs
    classes: Classes
    latency_ratios: tuple[Positive, ...]
    machine: dict[str, Any]
    comparisons: dict[str, Estimate] = {}
    """Comparisons that only this workload has, by name. A recipe's gate may require a least value."""
    details: dict[str, Any] = {}
    """Details that only this workload has. Its report reads them."""


class Tested(Part):
    """Results on the test split. They decide nothing."""

    teacher: Estimate
    """Quality."""
    student: Estimate
    ratio: Estimate
    """Student / teacher."""
    paired: Pair
    details: dict[str, Any] = {}
    """Details that only this workload has."""


class Measured(Part):
    """Results of the comparison of champion and student."""

    paired: Pair
    bytes: Positive
    """Champion / student."""
    latency: Estimate
    """Champion / student."""
    slices: Mapping[str, Estimate] = {}
    """Class or language -> quality of the student minus that of the champion on the gate split, two-sided."""
