"""Student's quantiles and the tail of coin tosses: published tables, and SciPy's answers."""

import pytest
from scipy import stats

from stillhouse.models.measurement.distributions import sign_tail, student_quantile


@pytest.mark.parametrize(
    ("confidence", "freedom", "quantile"),
    [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.9, 3, 2.353), (0.95, 4, 2.776), (0.99, 10, 3.169), (0.95, 120, 1.980)],
)
def test_a_quantile_is_that_of_the_tables(confidence: float, freedom: int, quantile: float) -> None:
    """Two-sided, to the three digits that textbooks print."""
    assert student_quantile(confidence, freedom) == pytest.approx(quantile, abs=5e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 8, 29, 100, 1001])
@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_a_quantile_is_scipys(confidence: float, freedom: int) -> None:
    """For odd and even degrees of freedom, to twelve digits."""
    assert student_quantile(confidence, freedom) == pytest.approx(stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "probability"),
    [(0, 0, 1.0), (0, 1, 0.5), (1, 1, 1.0), (0, 5, 1 / 32), (1, 5, 6 / 32), (2, 5, 0.5), (-1, 5, 0.0)],
)
def test_tosses_are_counted(successes: int, trials: int, probability: float) -> None:
    """By hand: the ways to have at most so many heads, of all ways."""
    assert sign_tail(successes, trials) == probability


@pytest.mark.parametrize(("successes", "trials"), [(39, 100), (480, 1_000), (9_950, 20_001)])
def test_many_tosses_have_scipys_probability(successes: int, trials: int) -> None:
    """Whole numbers of thousands of digits are divided without loss."""
    assert sign_tail(successes, trials) == pytest.approx(stats.binom.cdf(successes, trials, 0.5), rel=1e-11)
