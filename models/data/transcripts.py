"""Bring transcripts to one form: small letters and apostrophes, in words with one space between them.

Nobody knows from the writing alone how a digit or a currency sign is read aloud, so a text with one has no such form.
"""

import unicodedata

APOSTROPHE = "'"
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc", APOSTROPHE))
"""Other characters that serve as an apostrophe: the right quotation mark, and the letter of that shape."""
SYMBOLS = frozenset(("N", "Sc", "Sm", "So"))
"""Categories of Unicode that are read aloud as words: numbers, currencies, and mathematical and other symbols."""
READ_ALOUD = frozenset("#%&*/@§‰·ºª")
"""Further characters that are read aloud as words, or that join letters to another sound."""


def normalise_transcript(text: str) -> str:
    """Return the words of a transcript in Unicode's form NFC, with folded case.

    Letters, combining marks and apostrophes stay. Every other character becomes a space.

    Returns:
        The words, or an empty string if the text has no letter, or if it `has_symbols`.
    """
    folded = unicodedata.normalize("NFC", text.translate(APOSTROPHES).casefold())
    if has_symbols(folded):
        return ""
    words = "".join(each if _stays(each) else " " for each in folded).split()
    return " ".join(word for word in words if word.strip(APOSTROPHE))


def has_symbols(text: str) -> bool:
    """Tell whether a text has a digit, a currency sign or another symbol that is read aloud in an unknown way."""
    return any(each in READ_ALOUD or not SYMBOLS.isdisjoint(_categories(each)) for each in text)


def _categories(character: str) -> tuple[str, str]:
    """Return the category of a character, such as `Nd`, and its group, such as `N`."""
    category = unicodedata.category(character)
    return category, category[0]


def _stays(character: str) -> bool:
    return character == APOSTROPHE or _categories(character)[1] in "LM"
