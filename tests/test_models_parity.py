"""How much the export changed what a recogniser reads."""

import pytest

from stillhouse.models.workloads.transcripts.rates import share_changed


@pytest.mark.parametrize(
    ("expected", "texts", "share"),
    [
        (["una rana"], ["una rana"], 0.0),
        (["una rana", "un pez"], ["una rama", "un pez"], 1 / 14),
        (["abcd"], [""], 1.0),
        (["abcd", ""], ["abcd", "ab"], 0.5),
        ([""], [""], 0.0),
    ],
)
def test_parity_counts_letters(expected: list[str], texts: list[str], share: float) -> None:
    """One wrong letter of a long text counts less than a whole text, and a text out of nothing counts."""
    assert share_changed(expected, texts) == pytest.approx(share)
