"""Transcripts in one form, and those that nobody knows how to read aloud."""

import unicodedata

import pytest

from stillhouse.models.data.transcripts import has_symbols, normalise_transcript


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Un canard.", "un canard"),
        ("  L\u2019oiseau\u00a0-mouche,\t«rouge» ! ", "l'oiseau mouche rouge"),
        ("L\u02bcAmi", "l'ami"),
        ("Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        (unicodedata.normalize("NFD", "Йод, Été"), "йод été"),
        ("का दूध", "का दूध"),
        ("rock 'n' roll — ''", "rock 'n' roll"),
        ("conf_now-muted: [bip]", "conf now muted bip"),
        ("...", ""),
        ("'", ""),
        ("", ""),
    ],
)
def test_a_transcript_keeps_letters_marks_and_apostrophes(written: str, words: str) -> None:
    """Case, punctuation and spaces go; the same letters in another form are the same; twice is once."""
    assert normalise_transcript(written) == words
    assert normalise_transcript(words) == words
    assert not has_symbols(written)


@pytest.mark.parametrize("symbol", "1٣²½Ⅷ€$=%·ºª+°&@#№*/")
def test_a_symbol_that_is_read_aloud_has_no_words(symbol: str) -> None:
    """One digit, currency or other symbol spoils the whole text."""
    assert has_symbols(f"un {symbol} canard")
    assert normalise_transcript(f"un {symbol} canard") == ""
