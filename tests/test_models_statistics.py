"""Metrics and intervals, by tables worked out by hand or from published examples."""

import math

import numpy as np
import pytest

from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.metrics import churn, recall_per_class, right
from stillhouse.models.measurement.statistics import (
    accuracy_difference_interval,
    accuracy_ratio_interval,
    bootstrap_pairs,
    geometric_interval,
    mcnemar_p,
    mean_interval,
    over_seeds,
    over_seeds_and_examples,
    pair_counts,
    wilson_interval,
)


def pairs(both: int, teacher_only: int, student_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay out examples on which both, only the teacher, only the student and neither are right."""
    teacher = [True] * (both + teacher_only) + [False] * (student_only + neither)
    student = [True] * both + [False] * teacher_only + [True] * student_only + [False] * neither
    return np.array(teacher), np.array(student)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_wilson_interval_matches_newcombe(successes: int, trials: int, low: float, high: float) -> None:
    """The 95 % interval equals the worked examples of Newcombe (1998), also at no and at full success."""
    assert wilson_interval(successes, trials, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_identical_answers_have_a_certain_ratio() -> None:
    """A student that is right exactly where its teacher is has the ratio 1 without any doubt."""
    answers = np.array([True] * 90 + [False] * 10)
    assert accuracy_ratio_interval(answers, answers, 0.9) == (1.0, 1.0)


def test_the_ratio_interval_is_paired() -> None:
    """Where both err on the same examples the interval is narrower than where they err on different ones."""
    teacher = np.array([True] * 900 + [False] * 100)
    paired = np.array([True] * 890 + [False] * 110)
    crossed = np.array([False] * 55 + [True] * 845 + [True] * 45 + [False] * 55)
    widths = [high - low for low, high in (accuracy_ratio_interval(teacher, s, 0.9) for s in (paired, crossed))]
    assert widths[0] < widths[1] / 2


def test_the_ratio_interval_covers_as_often_as_it_says() -> None:
    """Over 300 simulated nights a 90 % interval holds the true ratio in 85 to 95 % of them."""
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        cell = random.choice(4, size=1000, p=[0.88, 0.05, 0.03, 0.04])
        low, high = accuracy_ratio_interval(cell < 2, (cell == 0) | (cell == 2), 0.9)
        hits += low <= 0.91 / 0.93 <= high
    assert 0.85 <= hits / 300 <= 0.95


@pytest.mark.parametrize(
    ("teacher_only", "student_only", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 7, 18 / 256), (7, 1, 18 / 256), (10, 0, 2 / 1024), (2, 3, 1.0)],
)
def test_mcnemar_counts_the_tosses_of_a_coin(teacher_only: int, student_only: int, p: float) -> None:
    """The p-value is twice the chance of at most the smaller count in fair tosses: 2 * (1 + 8) / 2**8 for 1 and 7."""
    assert mcnemar_p(teacher_only, student_only) == pytest.approx(p)


def test_the_difference_interval_matches_a_published_example() -> None:
    """For the table 1, 1, 7, 12 of Fagerland et al. (2014) Newcombe's 95 % interval is 0.026 to 0.507."""
    assert accuracy_difference_interval(*pairs(1, 1, 7, 12), 0.95) == pytest.approx((0.026, 0.507), abs=5e-4)


def test_the_difference_interval_of_equal_answers_has_width() -> None:
    """No disagreement in 100 examples is no proof of equality; both ends are equally far from 0 and nearer for more."""
    low, high = accuracy_difference_interval(*pairs(90, 0, 0, 10), 0.9)
    more = accuracy_difference_interval(*pairs(9000, 0, 0, 1000), 0.9)
    assert low == pytest.approx(-high)
    assert 0 < more[1] < high / 50


def test_the_difference_turns_with_the_models() -> None:
    """Changing places turns the interval round."""
    teacher, student = pairs(900, 40, 20, 40)
    low, high = accuracy_difference_interval(teacher, student, 0.9)
    assert accuracy_difference_interval(student, teacher, 0.9) == pytest.approx((-high, -low))
    assert low < -0.02 < high < 0


def test_the_bound_of_the_difference_holds_as_often_as_it_says() -> None:
    """Over 400 simulated nights the lower end of a 90 % interval is below the truth in 92 to 98 % of them."""
    random = np.random.default_rng(2)
    held = 0
    for cells in random.multinomial(2000, [0.92, 0.012, 0.008, 0.06], size=400):
        held += accuracy_difference_interval(*pairs(*cells), 0.9)[0] <= 0.008 - 0.012
    assert 0.92 <= held / 400 <= 0.98


def test_pairs_are_counted_in_order() -> None:
    """The four counts are both, teacher only, student only, neither."""
    assert pair_counts(*pairs(4, 3, 2, 1)) == (4, 3, 2, 1)


def test_an_interval_over_seeds_is_students() -> None:
    """For 90, 92 and 94 the mean is 92 and the 95 % interval is 92 -+ 4.302653 * 2 / sqrt 3."""
    mean, interval = over_seeds([90.0, 92.0, 94.0])
    half = 4.302653 * 2 / math.sqrt(3)
    assert mean == pytest.approx(92.0)
    assert interval == pytest.approx((92 - half, 92 + half), rel=1e-6)


def test_one_seed_has_no_interval() -> None:
    """A single training says nothing about its spread."""
    with pytest.raises(ModelError, match="needs two values, not 1; train with another seed"):
        over_seeds([0.93])


def test_churn_counts_every_difference() -> None:
    """Two of five answers differ, whatever is right."""
    assert churn(np.array([0, 1, 2, 3, 4]), np.array([0, 1, 2, 4, 3])) == pytest.approx(0.4)


def test_the_geometric_interval_is_students() -> None:
    """For 2, 4 and 8 the mean is 4 and the interval is exp(log 4 -+ t * sd / sqrt 3)."""
    mean, (low, high) = geometric_interval([2.0, 4.0, 8.0], 0.95)
    factor = math.exp(4.302653 * math.log(2) / math.sqrt(3))
    assert mean == pytest.approx(4.0)
    assert (low, high) == pytest.approx((4 / factor, 4 * factor), rel=1e-6)


def test_recall_counts_each_class() -> None:
    """Recall is found per class by its own examples, and NaN for a class without any."""
    recalls = recall_per_class(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)
    assert recalls[:2] == [0.5, 0.5]
    assert math.isnan(recalls[2])


def test_answers_and_labels_must_fit() -> None:
    """Comparing answers with the labels of another split is refused."""
    with pytest.raises(ModelError, match="3 answers cannot be compared with 2 labels"):
        right(np.zeros(3, np.int64), np.zeros(2, np.int64))


def test_an_interval_of_shares_is_that_of_their_mean() -> None:
    """For many shares it is the normal interval of the mean; for shares that do not vary, their value."""
    shares_N = np.random.default_rng(1).choice([0.0, 0.5, 1.0], 2000)
    half = 1.645 * shares_N.std() / math.sqrt(len(shares_N))
    assert mean_interval(shares_N, 0.9) == pytest.approx((shares_N.mean() - half, shares_N.mean() + half), abs=2e-3)
    assert mean_interval(np.full(50, 0.25), 0.9) == (0.25, 0.25)


def test_pairs_are_resampled_together() -> None:
    """A student that is right half as often on every example is so in every resample, whatever is drawn."""
    teacher_N = np.random.default_rng(1).choice([0.5, 1.0], 500)
    ratio, difference = bootstrap_pairs(teacher_N, teacher_N / 2, 0.9)
    assert ratio == pytest.approx((0.5, 0.5))
    assert difference[0] < -teacher_N.mean() / 2 < difference[1] < 0


@pytest.mark.parametrize(
    ("values", "groups", "confidence", "interval"),
    [
        # two groups: both resampled are the first, one each, or both the second, with chances 1/4, 1/2, 1/4
        ([0.0, 1.0], [0, 1], 0.9, (0.0, 1.0)),
        ([0.0, 1.0], [0, 1], 0.4, (0.5, 0.5)),
        ([1.0, 1.0, 1.0, 0.0], [0, 0, 0, 1], 0.9, (0.0, 1.0)),
        ([1.0, 1.0, 1.0, 0.0], [0, 0, 0, 1], 0.4, (0.75, 0.75)),
        ([1.0, 0.0, 1.0, 0.0], [5, 5, 9, 9], 0.9, (0.5, 0.5)),
        ([0.25, 0.25, 0.25], [3, 1, 1], 0.9, (0.25, 0.25)),
    ],
)
def test_whole_groups_are_resampled(
    values: list[float], groups: list[int], confidence: float, interval: tuple[float, float]
) -> None:
    """A group is drawn or not as a whole, and a larger one counts for more."""
    assert mean_interval(np.array(values), confidence, np.array(groups)) == pytest.approx(interval)


@pytest.mark.parametrize("copies", [1, 2, 5, 26])
def test_examples_that_repeat_each_other_do_not_narrow_an_interval(copies: int) -> None:
    """Each example several times, as one group, leaves every interval as it was, ratio and difference too."""
    random = np.random.default_rng(3)
    teacher_N, student_N = random.random(60), random.random(60)
    many = [np.repeat(each, copies) for each in (teacher_N, student_N, np.arange(60))]
    assert mean_interval(many[0], 0.9, many[2]) == pytest.approx(mean_interval(teacher_N, 0.9))
    for grouped, single in zip(
        bootstrap_pairs(many[0], many[1], 0.9, many[2]), bootstrap_pairs(teacher_N, student_N, 0.9), strict=True
    ):
        assert grouped == pytest.approx(single)


def test_groups_of_one_are_no_groups() -> None:
    """Independent examples have to the last bit the interval that they had without groups, in any order."""
    random = np.random.default_rng(4)
    teacher_N, student_N = random.random(200), random.random(200)
    groups_N = random.permutation(200)
    assert mean_interval(teacher_N, 0.9, np.arange(200)) == mean_interval(teacher_N, 0.9)
    assert bootstrap_pairs(teacher_N, student_N, 0.9, groups_N) == bootstrap_pairs(teacher_N, student_N, 0.9)


def test_one_group_has_no_interval() -> None:
    """Examples that all share a label say nothing about other labels."""
    with pytest.raises(ModelError, match="needs two groups, and all 3 examples are of one; add data of another label"):
        mean_interval(np.array([0.0, 1.0, 1.0]), 0.9, np.zeros(3, np.int64))


def grouped_night(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers of two models, right half the time and 0.4, to 60 labels of 1 to 7 examples that are alike hard."""
    groups_N = np.repeat(np.arange(60), random.integers(1, 8, 60))
    hard_N = random.beta(0.5, 0.5, 60)[groups_N]
    teacher_N, student_N = (random.random(len(groups_N)) < share * hard_N for share in (1.0, 0.8))
    return teacher_N.astype(float), student_N.astype(float), groups_N


@pytest.mark.long
def test_the_interval_of_groups_covers_as_often_as_it_says() -> None:
    """Over 150 simulated nights 90 % intervals hold the truth in 83 to 96 %; without groups they do not."""
    random, hits = np.random.default_rng(5), np.zeros(3)
    for _ in range(150):
        teacher_N, student_N, groups_N = grouped_night(random)
        ratio, difference = bootstrap_pairs(teacher_N, student_N, 0.9, groups_N)
        alone = mean_interval(teacher_N, 0.9)
        hits += [ratio[0] <= 0.8 <= ratio[1], difference[0] <= -0.1 <= difference[1], alone[0] <= 0.5 <= alone[1]]
    assert all(0.83 <= share <= 0.96 for share in hits[:2] / 150), hits
    assert hits[2] / 150 < 0.8, hits


@pytest.mark.parametrize(
    ("values", "intervals", "half"),
    [
        ([90.0, 92.0, 94.0], [(90, 90), (92, 92), (94, 94)], (4.96827, 4.96827)),
        ([90.0, 92.0, 94.0], [(87, 93), (88, 96), (89, 99)], (6.43043, 6.43043)),
        ([92.0, 92.0, 92.0], [(91, 93), (91, 93), (91, 93)], (1.0, 1.0)),
        ([92.0, 92.0], [(91, 94), (85, 94)], (5.0, 2.0)),
    ],
)
def test_seeds_and_examples_are_doubted_together(
    values: list[float], intervals: list[tuple[float, float]], half: tuple[float, float]
) -> None:
    """For 90 -+ 3, 92 -+ 4 and 94 -+ 5 the half is sqrt((4.302653 * 2 / sqrt 3)**2 + (9 + 16 + 25) / 3)."""
    mean, (low, high) = over_seeds_and_examples(values, intervals, 0.95)
    assert (mean, mean - low, high - mean) == pytest.approx((92.0, *half), abs=1e-4)


def test_more_seeds_do_not_make_a_small_gate_sure() -> None:
    """Over 400 simulated trainings of 5 seeds on one shared gate set, 95 % bounds hold; those of seeds alone do not."""
    random, held = np.random.default_rng(6), np.zeros(2)
    for _ in range(400):
        shared_N = random.choice([-1.0, 0.0, 1.0], 1000, p=[0.03, 0.95, 0.02])
        own_SN = random.choice([-1.0, 0.0, 1.0], (5, 1000), p=[0.03, 0.95, 0.02])
        differ_SN = np.where(random.random((5, 1000)) < 0.2, own_SN, shared_N)
        values = differ_SN.mean(1) + random.normal(0, 0.001, 5)
        half_S = 1.645 * differ_SN.std(1) / math.sqrt(1000)
        intervals = [(value - half, value + half) for value, half in zip(values, half_S, strict=True)]
        both, alone = over_seeds_and_examples(values, intervals, 0.9)[1], over_seeds(values, 0.9)[1]
        held += [both[0] <= -0.01, alone[0] <= -0.01]
    assert held[0] / 400 >= 0.93, held
    assert held[1] / 400 < 0.85, held
