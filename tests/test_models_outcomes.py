"""Weights and groups of examples: the headline is the weighted mean, and intervals resample what belongs together."""

import numpy as np
import pytest

from stillhouse.models.evaluation.compare import compare_pairs, difference, quality, ratio
from stillhouse.models.evaluation.outcomes import Outcomes, Scores

CONFIDENCE = 0.9
RANDOM = np.random.default_rng(5)
QUALITY_N = RANDOM.random(40)
OTHER_N = np.clip(QUALITY_N + 0.2 * RANDOM.standard_normal(40), 0, 1)
WORDS_N = RANDOM.integers(1, 30, 40).astype(np.float64)


def test_an_error_rate_of_a_corpus_counts_words() -> None:
    """One error in two words and none in eight is one in ten, and not the mean of a half and nothing."""
    scores = Scores(np.array([0.5, 1.0]), None, np.array([2.0, 8.0]))
    assert scores.mean == pytest.approx(0.9)
    assert quality(scores, CONFIDENCE)["value"] == pytest.approx(0.9)


def test_an_example_of_weight_two_is_two_examples_of_one_group() -> None:
    """Repeating an example within its group, or giving it that weight, are the same value and the same interval."""
    twice_M, groups_M = np.repeat(QUALITY_N, 2), np.repeat(np.arange(40), 2)
    weighted = quality(Scores(QUALITY_N, np.arange(40), np.full(40, 2.0)), CONFIDENCE)
    repeated = quality(Scores(twice_M, groups_M), CONFIDENCE)
    assert weighted["value"] == pytest.approx(repeated["value"])
    assert weighted["interval"] == pytest.approx(repeated["interval"])


def test_equal_weights_change_nothing() -> None:
    """Whatever the unit of the weights is, as long as all are alike."""
    for measure in (ratio, difference):
        plain = measure(Scores(QUALITY_N, None), Scores(OTHER_N, None), CONFIDENCE)
        heavy = measure(*(Scores(each, None, np.full(40, 7.0)) for each in (QUALITY_N, OTHER_N)), CONFIDENCE)
        assert heavy["value"] == pytest.approx(plain["value"])
        assert heavy["interval"] == pytest.approx(plain["interval"])


def test_a_weighted_comparison_is_that_of_the_weighted_means() -> None:
    """Difference and ratio are those of the two headlines, and lie in their intervals."""
    teacher, student = (Scores(each, None, WORDS_N) for each in (QUALITY_N, OTHER_N))
    found = difference(teacher, student, CONFIDENCE)
    assert found["value"] == pytest.approx(student.mean - teacher.mean)
    assert found["interval"][0] < found["value"] < found["interval"][1]
    assert ratio(teacher, student, CONFIDENCE)["value"] == pytest.approx(student.mean / teacher.mean)


def test_right_and_wrong_have_the_closed_interval_unless_they_weigh_or_belong_together() -> None:
    """Shares of counts keep Wilson's interval; with weights, or with groups, whole groups are resampled."""
    right_N = (QUALITY_N > 0.4).astype(np.float64)
    plain = Scores(right_N, None)
    assert plain.are_counts
    assert not Scores(right_N, None, WORDS_N).are_counts
    assert not Scores(right_N, np.arange(40)).are_counts
    assert not Scores(QUALITY_N, None).are_counts
    low, high = quality(Scores(np.ones(40), None), CONFIDENCE)["interval"]
    assert (low, high) == (pytest.approx(0.9366, abs=1e-4), 1.0)


def test_churn_counts_answers_and_the_sign_test_counts_groups() -> None:
    """Two of four answers differ; the student is better in both examples of one group, which is one sign."""
    groups_N = np.array([0, 0, 1])
    teacher = Outcomes(Scores(np.array([0.0, 0.5, 1.0]), groups_N), np.array([1, 2, 3, 4]), {})
    student = Outcomes(Scores(np.array([0.5, 1.0, 1.0]), groups_N), np.array([1, 9, 3, 9]), {})
    found = compare_pairs(teacher, student, CONFIDENCE)
    assert (found["churn"], found["discordant"], found["mcnemar_p"]) == (0.5, (0, 2), 1.0)
