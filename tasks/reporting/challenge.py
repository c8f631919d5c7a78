"""challenge.json: the student beside what is in production, typed."""

from typing import Literal

from tasks.reporting.evaluation import Estimate, Pair, Part, Positive

ANSWER = "challenge.json"
Goal = Literal["quality", "bytes", "latency"]


class Measured(Part):
    """What was measured of both."""

    paired: Pair
    bytes: Positive
    """Champion / student."""
    latency: Estimate
    """Champion / student."""


class Challenge(Part):
    """All of challenge.json."""

    champion: str | None
    """Version of the production model, None if there is none."""
    measured: Measured | None = None
    reason: str | None = None
    """Why nothing was measured."""

    def better(self) -> list[Goal]:
        """List what the student is better on than the champion, beyond doubt."""
        if self.measured is None:
            return []
        found = self.measured
        lows: dict[Goal, bool] = {
            "quality": found.paired.difference.interval[0] > 0,
            "bytes": found.bytes > 1,
            "latency": found.latency.interval[0] > 1,
        }
        return [goal for goal, sure in lows.items() if sure]
