"""Two distributions for intervals and tests. SciPy has them too; the light installation leaves its 110 MB out."""

import math

HALVINGS = 100
"""More halvings than an interval between two floating-point numbers has."""


def sign_tail(successes: int, trials: int) -> float:
    """Return the probability of at most `successes` in `trials` tosses of a fair coin, from exact whole numbers."""
    ways = term = 1
    for number in range(successes):
        term = term * (trials - number) // (number + 1)
        ways += term
    return ways / 2**trials if successes >= 0 else 0.0


def student_quantile(confidence: float, freedom: int) -> float:
    """Return the t that Student's variable exceeds in size with probability 1 - `confidence`.

    Args:
        confidence: two-sided, between 0 and 1.
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_inside(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _student_inside(angle: float, freedom: int) -> float:
    """Return the probability that Student's variable is at most sqrt(freedom) * tan(angle) in size.

    The formulas are 26.7.3 and 26.7.4 of Abramowitz and Stegun (1964), Handbook of Mathematical Functions.
    """
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for number in range(2 + odd, freedom, 2):
        term *= math.cos(angle) ** 2 * (number - 1) / number
        total += term
    inside = math.sin(angle) * total
    return 2 / math.pi * (angle + inside) if odd else inside
