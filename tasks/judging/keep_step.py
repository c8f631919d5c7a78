"""Decide whether one step stays in the chain. The decision is a pure function, so that a table can test it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.tasks.recipe.steps import KeepStepIf
from stillhouse.tasks.reporting.quantities import points, times

STEP = "step.json"
"""File with the judgement of a step, beside the model."""
AS_FAST = {"value": 1.0, "interval": (1.0, 1.0)}
BY_TIME = "decided_by_time"
"""Metric of a step: 1 if bytes and quality alone would have decided otherwise."""


@dataclass(frozen=True)
class Judged:
    """Whether a step stays in the chain, and why."""

    kept: bool
    reason: str


def least_gain(keep_if: KeepStepIf) -> float:
    """Return the minimum product of size ratio and speedup.

    One per cent of bytes counts as much as one per cent of time.
    """
    return 1 / (1 - keep_if.min_saving)


def decided_by_time(judged: Judged, lost: float, cost: Mapping[str, Any], keep_if: KeepStepIf) -> bool:
    """Tell whether bytes and quality alone, with the same time as before, would have decided otherwise."""
    return judge_step(lost, {**cost, "speedup": cost["speedup"] | AS_FAST}, keep_if).kept != judged.kept


def judge_step(lost: float, cost: Mapping[str, Any], keep_if: KeepStepIf) -> Judged:
    """Keep a step that costs little quality and gains more in bytes or in time than it loses in the other.

    If the interval of the speedup does not decide, the step stays if its bytes alone pay for it.

    Args:
        lost: quality on the split `validation` before the step minus quality after it, as a fraction.
        cost: the result of `models.measurement.step_cost`.
        keep_if: the recipe's limits.
    """
    if lost > keep_if.max_quality_drop:
        reason = f"dropped: {points(-lost)} points of quality, and one step may cost {100 * keep_if.max_quality_drop:g}"
        return Judged(kept=False, reason=reason)
    smaller = {name: _gain(cost[name]) for name in ("bytes", "zstd_bytes")}
    speedup = cost["speedup"]
    changes = (
        f"{times(smaller['bytes'])} fewer bytes ({times(smaller['zstd_bytes'])} after zstd), "
        f"{times(speedup['value'])} as fast, {points(-lost)} points of quality"
    )
    slowest, fastest = speedup["interval"]
    if slowest >= speedup["needed"] or fastest >= speedup["needed"] <= 1:
        return Judged(kept=True, reason=f"kept: {changes}")
    if max(smaller.values()) >= least_gain(keep_if):
        return Judged(kept=False, reason=f"dropped as the time it costs is more than the bytes it saves: {changes}")
    return Judged(kept=False, reason=f"dropped as neither smaller nor faster: {changes}")


def _gain(sizes: Mapping[str, int]) -> float:
    return sizes["before"] / sizes["after"]
