import pytest

from benchmarks.peers.table import Measured, Row, best, faster, front, markdown, smaller


def row(tool, points, times_smaller, times_faster, *, ours=False):
    measured = Measured(
        accuracy=0.93 + points / 100,
        points=points,
        points_interval=(points - 0.3, points + 0.3),
        bytes=round(4_000_000 / times_smaller),
        zstd_bytes=round(3_000_000 / times_smaller),
        smaller=times_smaller,
        milliseconds=1 / times_faster,
        faster=times_faster,
        faster_interval=(times_faster - 0.5, times_faster + 0.5),
        milliseconds_of_repeats=(1 / times_faster, 1 / times_faster),
    )
    return Row(tool, "int8", ours, 12.4, measured)


BROKEN = Row("Broken", "int8", ours=False, seconds=3.0, measured=None, failed="ValueError: a | b")
ROWS = (
    row("Teacher", 0.0, 1, 1),
    row("Accurate", 0.1, 3.8, 0.9),
    row("Usual", -0.2, 3.8, 2.9),
    row("Lossy", -4.0, 30, 8),
    row("Ours", -0.5, 50, 11, ours=True),
    BROKEN,
)


@pytest.mark.parametrize(
    ("better", "expected"),
    [(smaller, ["Accurate", "Ours"]), (faster, ["Accurate", "Teacher", "Usual", "Ours"])],
)
def test_the_front_keeps_rows_that_none_beats_in_both(better, expected):
    """A row is on the front if no row of at least its accuracy is as good in the other respect."""
    assert [kept.tool for kept in front(ROWS, better)] == expected


@pytest.mark.parametrize(
    ("better", "most_lost", "ours", "expected"),
    [
        (smaller, 0.5, False, "Accurate"),
        (faster, 0.5, False, "Usual"),
        (faster, 4.0, False, "Lossy"),
        (faster, 0.5, True, "Ours"),
    ],
)
def test_the_best_peer_is_the_best_of_those_that_lose_little_enough(better, most_lost, ours, expected):
    """Among rows at most so many points below the teacher, the one with the most of something wins."""
    assert best(ROWS, better, most_lost, ours=ours).tool == expected


def test_no_row_within_the_limit_is_no_best_row():
    """Nobody is best where everybody loses too much."""
    assert best(ROWS, smaller, 0.4, ours=True) is None


def test_the_table_shows_numbers_with_intervals_and_ours_in_bold():
    """A row reads: tool, variant, accuracy, points, bytes, ratio, zstd, milliseconds, ratio, seconds."""
    expected = (
        "| **Ours** | **int8** | 92.50% | -0.50 (-0.80 to -0.20) | 80,000 | 50.0 | 60,000 | 0.0909 "
        "| 11.00 (10.50 to 11.50) | 12 s |"
    )
    assert expected in markdown(ROWS).splitlines()


def test_a_failure_stays_in_the_table_with_its_reason():
    """A failed row has as many cells as the head, and its reason breaks none of them."""
    head, *_, last = markdown(ROWS).splitlines()
    assert last == "| Broken | int8 | failed: ValueError: a / b | | | | | | | 3 s |"
    assert last.count("|") == head.count("|")
