"""Which steps stay in the chain, by tables written by hand."""

import re
from typing import Any

import pytest

from tasks.recipe import Worth
from tasks.worth import judge_step

WORTH = Worth(most_lost=0.02, least_gained=0.05)


def cost(
    size: tuple[int, int] = (100, 100), zstd: tuple[int, int] = (90, 90), speed: tuple[float, float] = (0.9, 1.1)
) -> dict[str, Any]:
    return {
        "bytes": {"before": size[0], "after": size[1]},
        "zstd_bytes": {"before": zstd[0], "after": zstd[1]},
        "speedup": {"value": sum(speed) / 2, "interval": list(speed)},
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
        (0.021, cost(size=(100, 1)), False, "2.10 points of quality, and one step may cost 2"),
        (0.02, cost(size=(100, 1)), True, "\N{MINUS SIGN}2.00 points of quality"),
    ],
)
def test_a_step_must_be_worth_its_price(lost: float, measured: dict[str, Any], kept: bool, words: str) -> None:  # noqa: FBT001 - a table's column
    """A step stays if it is surely smaller or faster and costs no more quality than allowed."""
    judged = judge_step(lost, measured, WORTH)
    assert judged.kept is kept
    assert re.search(words, judged.reason), judged.reason
