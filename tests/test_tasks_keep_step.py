"""Which steps stay in the chain, by tables written by hand."""

import re
from typing import Any

import pytest

from stillhouse.tasks.judging.keep_step import judge_step, least_gain
from stillhouse.tasks.recipe.steps import KeepStepIf

WORTH = KeepStepIf(max_quality_drop=0.02, min_saving=0.05)


def cost(
    size: tuple[int, int] = (100, 100), zstd: tuple[int, int] = (90, 90), speed: tuple[float, float] = (0.9, 1.1)
) -> dict[str, Any]:
    needed = least_gain(WORTH) / max(size[0] / size[1], zstd[0] / zstd[1])
    return {
        "bytes": {"before": size[0], "after": size[1]},
        "zstd_bytes": {"before": zstd[0], "after": zstd[1]},
        "speedup": {"value": sum(speed) / 2, "interval": list(speed), "needed": needed},
    }


@pytest.mark.parametrize(
    ("lost", "measured", "kept", "words"),
    [
        (0.01, cost(size=(100, 25)), True, "kept: 4\N{MULTIPLICATION SIGN} fewer bytes"),
        (0.01, cost(zstd=(90, 45)), True, "2\N{MULTIPLICATION SIGN} after zstd"),
        (0.01, cost(speed=(1.2, 1.6)), True, "1.4\N{MULTIPLICATION SIGN} as fast"),
        (-0.01, cost(size=(100, 95)), True, r"\+1.00 points of quality"),
        (0.01, cost(), False, "dropped as neither smaller nor faster: 1\N{MULTIPLICATION SIGN} fewer bytes"),
        (0.01, cost(size=(100, 96), speed=(1.0, 1.5)), False, "neither smaller nor faster"),
        (0.01, cost(size=(100, 98), speed=(0.19, 0.21)), False, "neither smaller nor faster"),
        (0.01, cost(size=(100, 90), speed=(0.19, 0.21)), False, "the time it costs is more than the bytes it saves"),
        (0.01, cost(size=(100, 25), speed=(0.3, 0.35)), True, "0.325\N{MULTIPLICATION SIGN} as fast"),
        (0.01, cost(size=(100, 25), speed=(0.2, 0.25)), False, "the time it costs is more than the bytes it saves"),
        (0.01, cost(size=(100, 90), speed=(0.9, 1.0)), True, "kept"),
        (0.01, cost(size=(100, 200), zstd=(90, 180), speed=(1.9, 2.05)), False, "neither smaller nor faster"),
        (0.01, cost(size=(100, 200), zstd=(90, 180), speed=(2.2, 2.4)), True, "kept"),
        (0.021, cost(size=(100, 1)), False, "2.10 points of quality, and one step may cost 2"),
        (0.02, cost(size=(100, 1)), True, "\N{MINUS SIGN}2.00 points of quality"),
    ],
)
def test_a_step_must_be_worth_its_price(lost: float, measured: dict[str, Any], kept: bool, words: str) -> None:  # noqa: FBT001 - a table's column
    """A step stays if it gains more in bytes or time than it costs in the other, and quality falls little enough."""
    judged = judge_step(lost, measured, WORTH)
    assert judged.kept is kept
    assert re.search(words, judged.reason), judged.reason
