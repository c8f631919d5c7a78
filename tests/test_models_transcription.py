"""Error rates of transcripts, by hand-written tables."""

import math

import numpy as np
import pytest

from stillhouse.models.measurement.transcription import count_errors


@pytest.mark.parametrize(
    ("reference", "text", "inserted", "deleted", "substituted"),
    [
        ("un chat", "un chat", 0, 0, 0),
        ("un chat", "un chats", 1, 0, 0),
        ("un chat", "un cat", 0, 1, 0),
        ("un chat", "un chot", 0, 0, 1),
        ("un chat", "", 0, 7, 0),
        ("ab", "ba", 1, 1, 0),
        ("жаба", "жабу", 0, 0, 1),
        ("a", "abcd", 3, 0, 0),
    ],
)
def test_each_kind_of_error_is_counted(
    reference: str, text: str, inserted: int, deleted: int, substituted: int
) -> None:
    """Insertions, deletions and substitutions of characters are told apart."""
    errors = count_errors([reference], [text], "characters")
    assert errors.each.tolist() == [inserted + deleted + substituted]
    if (inserted, deleted) != (1, 1):  # a swap is two substitutions, or an insertion and a deletion
        found = (errors.insertions_N[0], errors.deletions_N[0], errors.substitutions_N[0])
        assert found == (inserted, deleted, substituted)


def test_a_rate_weighs_long_texts_more() -> None:
    """The rate is all errors over all characters, not the mean of the rates."""
    errors = count_errors(["a", "bcdefghij"], ["x", "bcdefghij"], "characters")
    assert errors.rate == pytest.approx(0.1)


def test_words_are_counted_as_words() -> None:
    """A word with one wrong letter is one wrong word."""
    errors = count_errors(["una rana verde"], ["una rama"], "words")
    assert errors.rate == pytest.approx(2 / 3)
    assert (errors.deletions_N[0], errors.substitutions_N[0]) == (1, 1)


def test_no_texts_have_no_rate() -> None:
    """Without references, the counts are empty and the rate is NaN."""
    errors = count_errors([], [], "words")
    assert math.isnan(errors.rate)
    assert errors.each.dtype == np.int64
