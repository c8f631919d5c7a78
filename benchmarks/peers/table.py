"""The benchmark's rows, what of them is worth having, and how they read. Pure: no file, no clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """What one deployable is worth."""

    accuracy: float
    points: float
    """Accuracy minus the teacher's on the same images, in percentage points."""
    points_interval: Interval
    bytes: int
    zstd_bytes: int
    smaller: float
    """The teacher's bytes / these."""
    milliseconds: float
    """10th percentile at batch 1."""
    faster: float
    """The teacher's time / this."""
    faster_interval: Interval
    milliseconds_of_repeats: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One deployable, or the reason why there is none."""

    tool: str
    what: str
    ours: bool
    seconds: float | None
    """What making it took; None where another run made it."""
    measured: Measured | None
    failed: str = ""
    trained: bool = False
    """Whether making it took training, not only a look at data."""

    @property
    def name(self) -> str:
        """Tool and variant."""
        return f"{self.tool}: {self.what}"


def within(rows: Sequence[Row], most_lost: float) -> list[tuple[Row, Measured]]:
    """Choose the measured rows that lose at most so many points."""
    return [(row, row.measured) for row in rows if row.measured and row.measured.points >= -most_lost]


def front(rows: Sequence[Row], better: Callable[[Measured], float]) -> list[Row]:
    """Choose the rows that no other row beats in both points and `better`, from the most accurate on."""
    found: list[Row] = []
    highest = float("-inf")
    every = within(rows, float("inf"))
    for row, measured in sorted(every, key=lambda pair: (-pair[1].points, -better(pair[1]))):
        if better(measured) > highest:
            highest = better(measured)
            found.append(row)
    return found


def best(rows: Sequence[Row], better: Callable[[Measured], float], most_lost: float, *, ours: bool) -> Row | None:
    """Find the row of ours, or of the peers, with the most of something at so few points lost."""
    chosen = [pair for pair in within(rows, most_lost) if pair[0].ours is ours]
    return max(chosen, key=lambda pair: better(pair[1]))[0] if chosen else None


def smaller(measured: Measured) -> float:
    """Bytes, as a ratio to the teacher's."""
    return measured.smaller


def faster(measured: Measured) -> float:
    """Speed, as a ratio to the teacher's."""
    return measured.faster


HEAD = (
    "| tool | what | test accuracy | points to the teacher | bytes | times smaller | zstd bytes | ms, p10 "
    "| times faster | made in |\n|---|---|---|---|---|---|---|---|---|---|"
)


def markdown(rows: Sequence[Row]) -> str:
    """Render the table, ours in bold, failures with their reason."""
    return "\n".join([HEAD, *map(_line, rows)])


def _line(row: Row) -> str:
    mark = "**" if row.ours else ""
    names = f"| {mark}{row.tool}{mark} | {mark}{row.what}{mark} |"
    seconds = "" if row.seconds is None else f"{row.seconds:,.0f} s"
    if row.measured is None:
        reason = row.failed.replace("|", "/")
        return f"{names} failed: {reason} | | | | | | | {seconds} |"
    m = row.measured
    quality = f"{m.accuracy:.2%} | {m.points:+.2f} ({m.points_interval[0]:+.2f} to {m.points_interval[1]:+.2f})"
    size = f"{m.bytes:,} | {m.smaller:.1f} | {m.zstd_bytes:,}"
    low, high = m.faster_interval
    return f"{names} {quality} | {size} | {m.milliseconds:.4f} | {m.faster:.2f} ({low:.2f} to {high:.2f}) | {seconds} |"
