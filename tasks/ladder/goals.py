"""The goals of a user: how much quality is kept, how much smaller and faster the student is, in how many minutes."""

import math
import re
from dataclasses import dataclass

from stillhouse.tasks.errors import StillhouseError

MOST_TIMES = 1e6
SHARE = re.compile(r"^(\d+(?:\.\d+)?) ?%$")
TIMES = re.compile("^(\\d+(?:\\.\\d+)?) ?[xX\N{MULTIPLICATION SIGN}]$")


@dataclass(frozen=True)
class Goals:
    """Limits that a student must reach, each against its teacher."""

    keep: float
    """Least quality of the student / quality of the teacher."""
    smaller: float
    """Least bytes of the teacher / bytes of the student."""
    faster: float
    """Least time of the teacher / time of the student."""
    minutes: float
    """Longest time for the search."""


def parse_goals(keep: str, smaller: str, faster: str, minutes: float) -> Goals:
    """Read the goals as a user writes them: `99%`, `4x`, `2x`, 20.

    Raises:
        StillhouseError: a goal is no number of its kind, or no student can reach it.
    """
    goals = Goals(
        _number("--keep", keep, SHARE, "99%") / 100,
        _number("--smaller", smaller, TIMES, "4x"),
        _number("--faster", faster, TIMES, "2x"),
        minutes,
    )
    if not 0 < goals.keep <= 1:
        msg = f"--keep {keep} is no share of the teacher's quality; give more than 0% and at most 100%"
        raise StillhouseError(msg)
    for flag, given, value in (("--smaller", smaller, goals.smaller), ("--faster", faster, goals.faster)):
        if not 0 < value <= MOST_TIMES:
            msg = f"{flag} {given} is out of reach; give a number like 4x, or 1x for no less than now"
            raise StillhouseError(msg)
    if not 0 < minutes < math.inf:
        msg = f"--minutes {minutes:g} is no time to search; give at least 1"
        raise StillhouseError(msg)
    return goals


def _number(flag: str, given: str, form: re.Pattern[str], example: str) -> float:
    found = form.match(given.strip())
    if not found:
        msg = f"{flag} {given} is not in the form of {example}; write it as {flag} {example}"
        raise StillhouseError(msg)
    return float(found[1])
