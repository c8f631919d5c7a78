"""The typed content of champion_comparison.json: the student compared with the champion."""

from typing import Literal

from stillhouse.models.evaluation.schema import Estimate, Measured, Part

STAGE = "compare_champion"
ANSWER = "champion_comparison.json"
OLD_STAGE, OLD_ANSWER = "challenge", "challenge.json"
"""Names in nightly runs until commit 30cef8a. Their versions can still be approved and promoted."""
Goal = Literal["quality", "bytes", "latency"]
MIN_BYTES_SAVING = 0.01
"""Minimum share of the champion's bytes that a student must save to be better on bytes."""


class ChampionComparison(Part):
    """The whole content of champion_comparison.json."""

    champion: str | None
    """Version of the production model, None if there is none."""
    measured: Measured | None = None
    reason: str | None = None
    """The reason why nothing was measured."""

    def better(self) -> list[Goal]:
        """List the goals on which the student is clearly better than the champion.

        For quality and latency, the whole interval must lie above "no change". For bytes, the saving must be at least
        `MIN_BYTES_SAVING`.
        """
        if self.measured is None:
            return []
        found = self.measured
        lows: dict[Goal, bool] = {
            "quality": found.paired.difference.interval[0] > 0,
            "bytes": 1 - 1 / found.bytes >= MIN_BYTES_SAVING,
            "latency": found.latency.interval[0] > 1,
        }
        return [goal for goal, sure in lows.items() if sure]

    def worse(self) -> list[Goal]:
        """List the goals on which the student is clearly worse than the champion."""
        if self.measured is None:
            return []
        found = self.measured
        highs: dict[Goal, bool] = {
            "quality": found.paired.difference.interval[1] < 0,
            "bytes": 1 - found.bytes >= MIN_BYTES_SAVING,
            "latency": found.latency.interval[1] < 1,
        }
        return [goal for goal, sure in highs.items() if sure]

    def worst_slice(self) -> tuple[str, Estimate] | None:
        """Return the class or language in which the student may have lost most. None if no slice was compared."""
        slices = self.measured.slices if self.measured else {}
        return min(slices.items(), key=lambda item: item[1].interval[0], default=None)
